#!/usr/bin/node
// An HBONE peer made of Node's http2 and tls. Prints one JSON object a line.
//
//   node_peer.js server CERTIFICATE KEY BUNDLE        serves port 15008; what a stream does is said by the port of its authority
//   node_peer.js client CERTIFICATE KEY ADDRESS CASE  plays one case against a proxy's port 15008, whose echo port is 8080
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const http2 = require('http2');
const tls = require('tls');

const [role, certificate, key, ...rest] = process.argv.slice(2);
const credentials = { cert: fs.readFileSync(certificate), key: fs.readFileSync(key), ALPNProtocols: ['h2'],
                      minVersion: 'TLSv1.3' };
const print = (what) => console.log(JSON.stringify(what));
const MEBIBYTE = crypto.createHash('shake256', { outputLength: 1 << 20 }).update('node').digest();
const sha256 = (data) => crypto.createHash('sha256').update(data).digest('hex');

function serve(bundle) {
  const server = http2.createSecureServer({ ...credentials, ca: fs.readFileSync(bundle), requestCert: true,
                                            rejectUnauthorized: true, paddingStrategy: http2.constants.PADDING_STRATEGY_MAX });
  server.on('session', (session) => print({ session: session.socket.getPeerCertificate().subjectaltname }));
  server.on('stream', (stream, headers) => {
    const port = Number(headers[':authority'].split(':').pop());
    print({ request: headers[':method'], authority: headers[':authority'], traceparent: headers.traceparent });
    stream.on('error', () => {});
    stream.on('close', () => print({ closed: port, code: stream.rstCode }));
    if (port === 8503) {
      stream.respond({ ':status': 503, 'x-byrnie-deny-reason': 'overloaded' }, { endStream: true });
      return;
    }
    stream.respond({ ':status': 200 });
    if (port === 8081) {
      // Everything in frames of one byte.
      stream.on('data', (block) => { for (const byte of block) stream.write(Buffer.from([byte])); });
      stream.on('end', () => stream.end());
    } else if (port === 8082) {
      // Says so much, then ends and resets: Node's close is END_STREAM and RST_STREAM.
      stream.once('data', () => stream.write('last words', () => stream.close(http2.constants.NGHTTP2_CONNECT_ERROR)));
    } else if (port === 8086) {
      // The same without an error: it wants to hear no more (RFC 9113 section 8.1).
      stream.once('data', () => stream.write('last words', () => stream.close(http2.constants.NGHTTP2_NO_ERROR)));
    } else if (port === 8083) {
      // GOAWAY with the stream open, and settings that change half way.
      stream.session.settings({ initialWindowSize: 1000 });
      stream.session.goaway(http2.constants.NGHTTP2_NO_ERROR);
      stream.pipe(stream);
    } else if (port === 8084) {
      stream.session.ping(Buffer.from('node-ping'.slice(0, 8)), (error) => {
        print({ ping: error ? String(error) : 'answered' });
        stream.pipe(stream);
      });
    } else {
      stream.pipe(stream);
    }
  });
  server.on('sessionError', (error) => print({ error: String(error) }));
  server.listen(15008, '::', () => print({ listening: true }));
}

function collect(stream) {
  return new Promise((resolve, reject) => {
    const blocks = [];
    stream.on('data', (block) => blocks.push(block));
    stream.on('end', () => resolve(Buffer.concat(blocks)));
    stream.on('error', reject);
  });
}

function play(address, name) {
  const authority = (port, host = address) => `${host}:${port}`;
  const socket = tls.connect({ ...credentials, host: address, port: 15008, rejectUnauthorized: false });
  const session = http2.connect(`https://${address}:15008`, {
    createConnection: () => socket,
    settings: name === 'small-window' ? { initialWindowSize: 1000, maxFrameSize: 16384 } : {},
    paddingStrategy: name === 'padding' ? http2.constants.PADDING_STRATEGY_MAX : http2.constants.PADDING_STRATEGY_NONE,
  });
  const open = (port, host) => session.request({ ':method': 'CONNECT', ':authority': authority(port, host) });
  const status = (stream) => new Promise((resolve) => stream.on('response', (headers) => resolve(headers)));
  const echo = async (stream, data) => {
    const answer = collect(stream);
    stream.end(data);
    return sha256(await answer) === sha256(data);
  };
  const cases = {
    echo: () => echo(open(8080), MEBIBYTE),
    padding: () => echo(open(8080), MEBIBYTE),
    'small-window': async () => {
      const stream = open(8080);
      const answer = echo(stream, MEBIBYTE);
      await new Promise((resolve) => setImmediate(resolve));
      session.settings({ initialWindowSize: 300000 });
      return answer;
    },
    many: async () => (await Promise.all([...Array(20).keys()].map(() => echo(open(8080), MEBIBYTE.subarray(0, 200000)))))
      .every(Boolean),
    ping: async () => {
      const stream = open(8080);
      const answer = echo(stream, MEBIBYTE);
      await status(stream);
      for (let i = 0; i < 10; ++i) {
        await new Promise((resolve, reject) => session.ping((error) => (error ? reject(error) : resolve())));
      }
      return answer;
    },
    goaway: async () => {
      const stream = open(8080);
      await status(stream);
      session.goaway(http2.constants.NGHTTP2_NO_ERROR);
      return echo(stream, MEBIBYTE);
    },
    reset: async () => {
      const stream = open(8080);
      const bystander = open(8080);
      await status(stream);
      stream.write('x');
      stream.close(http2.constants.NGHTTP2_CANCEL);
      return echo(bystander, MEBIBYTE);
    },
    refused: async () => {
      const answers = {};
      for (const [port, host] of [[8099, address], [15001, address], [8080, '10.9.9.9']]) {
        const stream = open(port, host);
        stream.on('error', () => {});
        const headers = await status(stream);
        answers[`${host === address ? '' : 'elsewhere'}${port}`] = [headers[':status'], headers['x-byrnie-deny-reason']];
        stream.close();
      }
      const get = session.request({ ':method': 'GET', ':path': '/' });
      answers.get = (await status(get))[':status'];
      return answers;
    },
  };
  session.on('error', (error) => { print({ error: String(error) }); process.exit(1); });
  cases[name]().then((result) => { print({ result }); process.exit(0); },
                     (error) => { print({ error: String(error) }); process.exit(1); });
}

if (role === 'server') {
  serve(rest[0]);
} else if (role === 'client') {
  play(rest[0], rest[1]);
} else {
  console.error('no such role; one of server, client');
  process.exit(2);
}

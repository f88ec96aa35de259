#!/usr/bin/node
// Node in the place of an application: grpc-js on an agent's workload API, and tls with the SVID it got there. Prints one JSON
// object a line. Its packages are found by NODE_PATH.
//
//   workload_peer.js watch API SOCKET                            every X.509 context, bundle set and secret, as they come
//   workload_peer.js call API SOCKET                             each method once
//   workload_peer.js client CERTIFICATE KEY BUNDLE HOST PORT ALPN   says hello, prints what comes back
//   workload_peer.js server CERTIFICATE KEY BUNDLE PORT          sends back what it gets
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const tls = require('tls');

const print = (what) => console.log(JSON.stringify(what));
const [role, ...rest] = process.argv.slice(2);

function connect(api, socket) {
  const grpc = require('@grpc/grpc-js');
  const loader = require('@grpc/proto-loader');
  const load = (file) => grpc.loadPackageDefinition(loader.loadSync(file, { includeDirs: [api, '/usr/include'], keepCase: true,
                                                                             bytes: Buffer, defaults: true }));
  const insecure = grpc.credentials.createInsecure();
  const header = new grpc.Metadata();
  header.set('workload.spiffe.io', 'true');
  return {
    grpc, header,
    workload: new (load('spiffe/workload/workload.proto').SpiffeWorkloadAPI)(`unix://${socket}`, insecure),
    secrets: new (load('envoy/service/secret/v3/sds.proto').envoy.service.secret.v3.SecretDiscoveryService)(
      `unix://${socket}`, insecure),
  };
}

const serial = (der) => new crypto.X509Certificate(der).serialNumber.toLowerCase();
// The key is the certificate's, or Node cannot use it.
function usable(certificate, key) {
  const made = typeof key === 'string' || key.includes('BEGIN') ? crypto.createPrivateKey(key)
    : crypto.createPrivateKey({ key, format: 'der', type: 'pkcs8' });
  return new crypto.X509Certificate(certificate).checkPrivateKey(made);
}

const SECRET_TYPE = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret';

function watch(api, socket) {
  const { header, workload, secrets } = connect(api, socket);
  const protobuf = require('protobufjs');
  const root = new protobuf.Root();
  root.resolvePath = (_, target) => target.startsWith('/') ? target
    : fs.existsSync(`${api}/${target}`) ? `${api}/${target}` : `/usr/include/${target}`;
  const Secret = root.loadSync('envoy/extensions/transport_sockets/tls/v3/secret.proto', { keepCase: true })
    .lookupType('envoy.extensions.transport_sockets.tls.v3.Secret');
  const ended = (name) => (error) => print({ ended: name, code: error.code, message: error.message });
  workload.FetchX509SVID({}, header).on('error', ended('x509')).on('data', (message) => {
    const [svid] = message.svids;
    print({ x509: serial(svid.x509_svid), id: svid.spiffe_id, usable: usable(svid.x509_svid, svid.x509_svid_key),
            federated: Object.keys(message.federated_bundles) });
  });
  workload.FetchX509Bundles({}, header).on('error', ended('bundles'))
    .on('data', (message) => print({
      bundles: Object.keys(message.bundles).sort(),
      versions: Object.fromEntries(Object.entries(message.bundles).map(
        ([name, der]) => [name, crypto.createHash('sha256').update(der).digest('hex')])) }));
  workload.FetchJWTBundles({}, header).on('error', ended('jwt'))
    .on('data', (message) => print({ jwt: Object.fromEntries(Object.entries(message.bundles).map(
      ([name, keys]) => [name, JSON.parse(keys).keys.map((key) => key.kid)])) }));
  const names = ['default', 'ROOTCA', 'ALL'];
  const stream = secrets.StreamSecrets();
  stream.on('error', ended('secrets')).on('data', (response) => {
    const found = response.resources.map((resource) => Secret.decode(resource.value));
    const { tls_certificate: certificate } = found.find((secret) => secret.name === 'default');
    const pem = certificate.certificate_chain.inline_bytes;
    print({ secrets: found.map((secret) => secret.name), serial: serial(pem),
            usable: usable(pem, Buffer.from(certificate.private_key.inline_bytes)), version: response.version_info });
    stream.write({ type_url: SECRET_TYPE, resource_names: names, response_nonce: response.nonce,
                   version_info: response.version_info });
  });
  stream.write({ type_url: SECRET_TYPE, resource_names: names });
}

async function call(api, socket) {
  const { grpc, header, workload, secrets } = connect(api, socket);
  const unary = (client, method, request, metadata = header) => new Promise((resolve) =>
    client[method](request, metadata, (error, response) => resolve(error ? { code: error.code } : response)));
  const first = (method, metadata = header) => new Promise((resolve) => {
    const stream = workload[method]({}, metadata);
    stream.on('error', (error) => resolve({ code: error.code }));
    stream.once('data', (message) => { resolve(message); stream.cancel(); });
  });
  const token = await unary(workload, 'FetchJWTSVID', { audience: ['db'] });
  const [svid] = token.svids;
  const keys = JSON.parse((await first('FetchJWTBundles')).bundles[svid.spiffe_id.match(/^spiffe:\/\/[^/]+/)[0]]).keys;
  const [head, claims, signature] = svid.svid.split('.');
  const { kid } = JSON.parse(Buffer.from(head, 'base64url'));
  const key = crypto.createPublicKey({ key: keys.find((candidate) => candidate.kid === kid), format: 'jwk' });
  print({
    verified: crypto.verify('sha256', Buffer.from(`${head}.${claims}`), { key, dsaEncoding: 'ieee-p1363' },
                            Buffer.from(signature, 'base64url')),
    claims: JSON.parse(Buffer.from(claims, 'base64url')),
    validated: (await unary(workload, 'ValidateJWTSVID', { audience: 'db', svid: svid.svid })).spiffe_id,
    elsewhere: (await unary(workload, 'ValidateJWTSVID', { audience: 'mail', svid: svid.svid })).code,
    headerless: (await first('FetchX509SVID', new grpc.Metadata())).code,
    fetched: (await unary(secrets, 'FetchSecrets', { type_url: SECRET_TYPE, resource_names: ['default', 'ROOTCA'] },
                          new grpc.Metadata())).resources.length,
  });
  workload.close();
  secrets.close();
}

function credentials([certificate, key, bundle], alpn) {
  return { cert: fs.readFileSync(certificate), key: fs.readFileSync(key), ca: fs.readFileSync(bundle), ALPNProtocols: [alpn],
           minVersion: 'TLSv1.3' };
}

function client(files, host, port, alpn) {
  const socket = tls.connect({ ...credentials(files, alpn), host, port: Number(port), checkServerIdentity: () => undefined });
  socket.setTimeout(10000, () => socket.destroy(new Error('timeout')));
  socket.on('error', (error) => { print({ error: String(error) }); process.exitCode = 1; });
  socket.on('secureConnect', () => {
    print({ authorized: socket.authorized, alpn: socket.alpnProtocol, peer: socket.getPeerCertificate().subjectaltname });
    socket.write('hello from node');
  });
  socket.once('data', (block) => { print({ answer: block.toString('latin1') }); socket.end(); });
}

function server(files, port) {
  const listener = tls.createServer({ ...credentials(files, 'istio'), requestCert: true, rejectUnauthorized: true }, (socket) => {
    print({ peer: socket.getPeerCertificate().subjectaltname, alpn: socket.alpnProtocol });
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  listener.on('tlsClientError', (error) => print({ error: String(error) }));
  listener.listen(Number(port), () => print({ listening: true }));
}

if (role === 'watch') watch(...rest);
else if (role === 'call') call(...rest);
else if (role === 'client') client(rest.slice(0, 3), ...rest.slice(3));
else server(rest.slice(0, 3), rest[3]);

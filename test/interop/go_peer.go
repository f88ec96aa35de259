// An HBONE peer made of Go's net/http and crypto/tls, whose HTTP/2 is Go's own. Prints one JSON object a line.
//
//	go_peer server CERTIFICATE KEY BUNDLE               serves port 15008; what a stream does is said by the port of its authority
//	go_peer client CERTIFICATE KEY BUNDLE ADDRESS CASE  plays one case against a proxy's port 15008, whose echo port is 8080
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

const denyReason = "X-Byrnie-Deny-Reason"

var printing sync.Mutex

func show(fields map[string]interface{}) {
	printing.Lock()
	defer printing.Unlock()
	json.NewEncoder(os.Stdout).Encode(fields)
}

func fail(err error) {
	show(map[string]interface{}{"error": err.Error()})
	os.Exit(1)
}

// credentials: of both roles; who is at the other end is proven by the roots of the mesh.
func credentials(certificate, key, bundle string) (*tls.Config, *x509.CertPool) {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		fail(err)
	}
	pem, err := os.ReadFile(bundle)
	if err != nil {
		fail(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		fail(errors.New("no roots in " + bundle))
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}}, roots
}

// flushed passes every write on at once.
type flushed struct{ http.ResponseWriter }

func (w flushed) Write(data []byte) (int, error) {
	n, err := w.ResponseWriter.Write(data)
	w.ResponseWriter.(http.Flusher).Flush()
	return n, err
}

func serveStream(w http.ResponseWriter, r *http.Request) {
	port := r.Host[strings.LastIndex(r.Host, ":")+1:]
	show(map[string]interface{}{"request": r.Method, "authority": r.Host, "traceparent": r.Header.Get("Traceparent"),
		"peer": r.TLS.PeerCertificates[0].URIs[0].String()})
	if port == "8503" {
		w.Header().Set(denyReason, "overloaded")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if port == "8083" {
		// Go says GOAWAY with the answer, and carries the open stream on.
		w.Header().Set("Connection", "close")
	}
	w.WriteHeader(http.StatusOK)
	out := flushed{w}
	out.ResponseWriter.(http.Flusher).Flush()
	size := 32 * 1024
	switch port {
	case "8082", "8086":
		io.ReadFull(r.Body, make([]byte, 1))
		out.Write([]byte("last words"))
		if port == "8082" {
			panic(http.ErrAbortHandler) // RST_STREAM.
		}
		return // END_STREAM, and RST_STREAM without an error: it wants to hear no more.
	case "8081":
		size = 1
	case "8087":
		// Go 1.19 gives window back for every read, on the stream and on the session.
		size = 1024
	}
	block := make([]byte, size)
	var err error
	for err == nil {
		var n int
		n, err = r.Body.Read(block)
		if n > 0 {
			if _, failed := out.Write(block[:n]); failed != nil {
				err = failed
			}
		}
	}
	show(map[string]interface{}{"closed": port, "how": err.Error()})
}

func serve(config *tls.Config, roots *x509.CertPool) {
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, roots
	server := &http.Server{Addr: ":15008", TLSConfig: config, Handler: http.HandlerFunc(serveStream),
		ErrorLog: log.New(io.Discard, "", 0),
		ConnState: func(connection net.Conn, state http.ConnState) {
			if state == http.StateNew {
				show(map[string]interface{}{"session": connection.RemoteAddr().String()})
			}
		}}
	listener, err := net.Listen("tcp", server.Addr)
	if err != nil {
		fail(err)
	}
	show(map[string]interface{}{"listening": true})
	fail(server.ServeTLS(listener, "", ""))
}

type client struct {
	address string
	http    *http.Client
}

func newClient(config *tls.Config, roots *x509.CertPool, address string) *client {
	// The proxy has no DNS name; its chain is verified all the same.
	config.InsecureSkipVerify = true
	config.VerifyConnection = func(state tls.ConnectionState) error {
		_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots})
		return err
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	return &client{address, &http.Client{Transport: transport}}
}

func (c *client) open(ctx context.Context, method, authority string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, "https://"+c.address+":15008", body)
	if err != nil {
		return nil, err
	}
	request.URL = &url.URL{Scheme: "https", Host: c.address + ":15008"}
	request.Host = authority
	return c.http.Do(request)
}

// echo sends data, ends, and compares what comes back until the end.
func (c *client) echo(data []byte) error {
	response, err := c.open(context.Background(), http.MethodConnect, c.address+":8080", io.NopCloser(bytes.NewReader(data)))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	received, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || sha256.Sum256(received) != sha256.Sum256(data) {
		return fmt.Errorf("%s, and %d bytes that differ", response.Status, len(received))
	}
	return nil
}

func (c *client) many(data []byte) error {
	results := make(chan error)
	for number := 0; number < 20; number++ {
		go func(number int) { results <- c.echo(data[number : number+200000]) }(number)
	}
	var failed error
	for number := 0; number < 20; number++ {
		if err := <-results; err != nil {
			failed = err
		}
	}
	return failed
}

// reset gives one of two streams up, and the other goes on.
func (c *client) reset(data []byte) error {
	reader, writer := io.Pipe()
	response, err := c.open(context.Background(), http.MethodConnect, c.address+":8080", reader)
	if err != nil {
		return err
	}
	writer.Write([]byte("x"))
	io.ReadFull(response.Body, make([]byte, 1))
	response.Body.Close() // RST_STREAM.
	if _, err = writer.Write([]byte("y")); err == nil {
		return errors.New("the stream goes on")
	}
	return c.echo(data)
}

// refused: what the proxy answers to what it does not carry.
func (c *client) refused() (interface{}, error) {
	answers := map[string]interface{}{}
	for name, authority := range map[string]string{
		"8099": c.address + ":8099", "15001": c.address + ":15001", "elsewhere": "10.9.9.9:8080"} {
		response, err := c.open(context.Background(), http.MethodConnect, authority, nil)
		if err != nil {
			return nil, err
		}
		response.Body.Close()
		answers[name] = []interface{}{response.StatusCode, response.Header.Get(denyReason)}
	}
	response, err := c.open(context.Background(), http.MethodGet, c.address, nil)
	if err != nil {
		return nil, err
	}
	response.Body.Close()
	answers["get"] = response.StatusCode
	return answers, nil
}

// ended holds a stream open until the proxy ends it: how.
func (c *client) ended() (interface{}, error) {
	reader, writer := io.Pipe()
	response, err := c.open(context.Background(), http.MethodConnect, c.address+":8080", reader)
	if err != nil {
		return nil, err
	}
	writer.Write([]byte("x"))
	io.ReadFull(response.Body, make([]byte, 1))
	show(map[string]interface{}{"open": true})
	_, err = response.Body.Read(make([]byte, 1))
	if err == nil {
		return nil, errors.New("data came")
	}
	// Other streams of the session are as they were, policies permitting.
	other, otherErr := c.open(context.Background(), http.MethodConnect, c.address+":8099", nil)
	if otherErr != nil {
		return nil, otherErr
	}
	other.Body.Close()
	return []string{err.Error(), other.Status}, nil
}

func play(c *client, name string) {
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(i*131 + i/257)
	}
	var result interface{} = true
	var err error
	switch name {
	case "echo":
		err = c.echo(data)
	case "many":
		err = c.many(data)
	case "reset":
		err = c.reset(data)
	case "refused":
		result, err = c.refused()
	case "ended":
		result, err = c.ended()
	default:
		err = errors.New("no such case")
	}
	if err != nil {
		fail(err)
	}
	show(map[string]interface{}{"result": result})
}

func main() {
	if len(os.Args) < 5 {
		fmt.Fprintln(os.Stderr, "server CERTIFICATE KEY BUNDLE, or client CERTIFICATE KEY BUNDLE ADDRESS CASE")
		os.Exit(2)
	}
	config, roots := credentials(os.Args[2], os.Args[3], os.Args[4])
	if os.Args[1] == "server" {
		serve(config, roots)
		return
	}
	time.AfterFunc(25*time.Second, func() { fail(errors.New("it takes too long")) })
	play(newClient(config, roots, os.Args[5]), os.Args[6])
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// notHTTP is what no proxy takes for HTTP.
const notHTTP = "\x01 not HTTP\r\n\r\n"

// transport makes a connection for each request, so that no answer depends on an older connection, and changes nothing.
func transport(by identity) *http.Transport {
	dial := func(ctx context.Context, _, address string) (net.Conn, error) { return connect(ctx, address, by) }
	return &http.Transport{DisableKeepAlives: true, DisableCompression: true, DialContext: dial}
}

// exchange sends one request and waits for the whole answer.
func exchange(wanted request) answer {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(wanted.Timeout*float64(time.Second)))
	defer cancel()
	started := time.Now()
	if wanted.Raw {
		result := answer{}
		body, err := exchangeRaw(ctx, wanted)
		if err == nil {
			err = json.Unmarshal(body, &result.Seen)
		}
		result.Body, result.Error, result.Seconds = string(body), cause(err), time.Since(started).Seconds()
		return result
	}
	made, err := prepare(ctx, wanted)
	if err != nil {
		return answer{Error: err.Error()}
	}
	result := answer{}
	response, err := transport(wanted.Identity).RoundTrip(made)
	if err == nil {
		defer response.Body.Close()
		var body []byte
		if body, err = io.ReadAll(response.Body); err == nil {
			result = read(response, body)
		}
	}
	result.Error = cause(err)
	result.Seconds = time.Since(started).Seconds()
	return result
}

// exchangeRaw sends what is no HTTP, and reads what the application says of itself until it has ended.
func exchangeRaw(ctx context.Context, wanted request) ([]byte, error) {
	where, err := url.Parse(wanted.URL)
	if err != nil {
		return nil, err
	}
	made, err := connect(ctx, where.Host, wanted.Identity)
	if err != nil {
		return nil, err
	}
	defer made.Close()
	defer context.AfterFunc(ctx, func() { _ = made.Close() })()
	if _, err := made.Write([]byte(notHTTP)); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(made)
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case err == nil && len(body) == 0:
		err = io.EOF
	}
	return body, err
}

// prepare makes a request whose target is sent as it was written: Opaque keeps Go from cleaning or encoding it.
func prepare(ctx context.Context, wanted request) (*http.Request, error) {
	scheme, rest, _ := strings.Cut(wanted.URL, "://")
	cut := strings.IndexAny(rest, "/?")
	if cut < 0 {
		cut = len(rest)
	}
	host, target := rest[:cut], rest[cut:]
	if !strings.HasPrefix(target, "/") {
		target = "/" + target
	}
	made, err := http.NewRequestWithContext(ctx, wanted.Method, scheme+"://"+host, strings.NewReader(wanted.Body))
	if err != nil {
		return nil, err
	}
	made.URL = &url.URL{Scheme: scheme, Host: host, Opaque: target}
	if strings.HasPrefix(target, "//") {
		// Go would take this Opaque for an authority, so the target is split where that changes nothing.
		made.URL = &url.URL{Scheme: scheme, Host: host, Path: target}
	}
	made.Host = host
	if wanted.Authority != "" {
		made.Host = wanted.Authority
	}
	made.Header.Set("user-agent", "gitmesh-lab")
	for name, value := range wanted.Headers {
		made.Header.Set(name, value)
	}
	return made, nil
}

func read(response *http.Response, body []byte) answer {
	result := answer{Status: response.StatusCode, Headers: flat(response.Header), Body: string(body)}
	if response.Header.Get("content-type") == echoType && len(body) > 0 {
		var what seen
		if json.Unmarshal(body, &what) == nil {
			result.Seen = &what
		}
	}
	return result
}

// cause names an error in one of the words that the lab promises, else in its own.
func cause(err error) string {
	var lookup *net.DNSError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &lookup):
		return "dns"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "eof"
	}
	return err.Error()
}

// exchangeAll sends requests in order, at most parallel of them at a time; answers are in the order of the requests.
func exchangeAll(requests []request, parallel int) []answer {
	answers := make([]answer, len(requests))
	slots := make(chan struct{}, max(parallel, 1))
	var group sync.WaitGroup
	for i := range requests {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			answers[i] = exchange(requests[i])
		})
	}
	group.Wait()
	return answers
}

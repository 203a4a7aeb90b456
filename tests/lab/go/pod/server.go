package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// echoType marks a body that this application wrote, so that nothing a proxy says is taken for it.
const echoType = "application/vnd.gitmesh.lab+json"

// application echoes what it saw; headers of the request steer its answer.
type application struct {
	pod, serviceAccount string

	mu   sync.Mutex
	seen map[string][]seen
}

// calls returns what was seen of the calls with this x-lab-id, in order.
func (a *application) calls(id string) []seen {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]seen{}, a.seen[id]...)
}

// ServeHTTP is reached for every path as it was sent: no mux cleans it.
func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	what := a.look(r, body)
	nth := a.count(r.Header.Get("x-lab-id"), what)
	if wait, err := time.ParseDuration(r.Header.Get("x-lab-delay")); err == nil {
		select {
		case <-time.After(wait):
		case <-r.Context().Done():
		}
	}
	status := number(r.Header.Get("x-lab-status"), http.StatusOK)
	failing := nth > 0 && nth <= number(r.Header.Get("x-lab-fail"), 0)
	if failing && r.Header.Get("x-lab-fail-reset") != "" {
		reset(w)
		return
	}
	if failing {
		status = number(r.Header.Get("x-lab-fail-status"), http.StatusServiceUnavailable)
	}
	if r.Header.Get("x-lab-fail-pod") == a.pod {
		status = http.StatusServiceUnavailable
	}
	answerWith(w, r, status, what)
}

func (a *application) look(r *http.Request, body []byte) seen {
	path, query, _ := strings.Cut(r.RequestURI, "?")
	port := 0
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		port = local.Port
	}
	return seen{
		Pod: a.pod, ServiceAccount: a.serviceAccount, Method: r.Method, Path: path, Query: query,
		Authority: r.Host, Port: port, Headers: flat(r.Header), Body: string(body),
	}
}

// count remembers a call and returns the how manieth of its id it is in this pod; 0 without an id.
func (a *application) count(id string, what seen) int {
	if id == "" {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen[id] = append(a.seen[id], what)
	return len(a.seen[id])
}

func answerWith(w http.ResponseWriter, r *http.Request, status int, what seen) {
	for _, pair := range r.Header.Values("x-lab-header") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			w.Header().Add(name, value)
		}
	}
	w.Header().Set("content-type", echoType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(what)
}

// reset closes the connection without an answer, by RST.
func reset(w http.ResponseWriter) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := connection.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = connection.Close()
}

func number(text string, otherwise int) int {
	if value, err := strconv.Atoi(text); err == nil {
		return value
	}
	return otherwise
}

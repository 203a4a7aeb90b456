package main

import (
	"net/http"
	"strings"
)

// seen is what the server's application saw of a request. Python reads it as tests.lab.wire.Seen.
type seen struct {
	Pod            string            `json:"pod"`
	ServiceAccount string            `json:"service_account"`
	Method         string            `json:"method"`
	Path           string            `json:"path"`
	Query          string            `json:"query"`
	Authority      string            `json:"authority"`
	Port           int               `json:"port"`
	Headers        map[string]string `json:"headers"`
	Body           string            `json:"body"`
}

// request is tests.lab.wire.Request.
type request struct {
	URL       string            `json:"url"`
	Method    string            `json:"method"`
	Headers   map[string]string `json:"headers"`
	Authority string            `json:"authority"`
	Body      string            `json:"body"`
	Timeout   float64           `json:"timeout"`
	Identity  identity          `json:"identity"`
	Raw       bool              `json:"raw"`
}

// identity is tests.lab.wire.WireIdentity.
type identity struct {
	Principal string `json:"principal"`
	CA        string `json:"ca"`
	Protocol  string `json:"protocol"`
	Tunnel    string `json:"tunnel"`
}

// answer is tests.lab.wire.Answer.
type answer struct {
	Status  int               `json:"status"`
	Error   string            `json:"error"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Seconds float64           `json:"seconds"`
	Seen    *seen             `json:"seen"`
}

// tally is tests.lab.wire.Tally.
type tally struct {
	Sent     int            `json:"sent"`
	ByStatus map[int]int    `json:"by_status"`
	Errors   map[string]int `json:"errors"`
	Gaps     []float64      `json:"gaps"`
}

// command is one line that the lab writes to the control socket.
type command struct {
	Op        string    `json:"op"`
	Requests  []request `json:"requests"`
	Parallel  int       `json:"parallel"`
	PerSecond float64   `json:"per_second"`
	ID        string    `json:"id"`
}

// flat makes lower-case names and joined values of headers.
func flat(headers http.Header) map[string]string {
	made := make(map[string]string, len(headers))
	for name, values := range headers {
		made[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	return made
}

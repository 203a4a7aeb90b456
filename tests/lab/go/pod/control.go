package main

import (
	"encoding/json"
	"net"
)

// serveControl answers commands on a UNIX socket: one JSON object a line in, one out.
func serveControl(listener net.Listener, app *application) error {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go converse(connection, app)
	}
}

func converse(connection net.Conn, app *application) {
	defer connection.Close()
	in, out := json.NewDecoder(connection), json.NewEncoder(connection)
	for {
		var wanted command
		if in.Decode(&wanted) != nil {
			return
		}
		switch wanted.Op {
		case "send":
			_ = out.Encode(exchangeAll(wanted.Requests, wanted.Parallel))
		case "seen":
			_ = out.Encode(app.calls(wanted.ID))
		case "stream":
			converseStream(wanted, in, out)
		default:
			_ = out.Encode(map[string]string{"error": "no such op: " + wanted.Op})
		}
	}
}

// converseStream says {} at the first answer, and the tally after the next line; the end of the connection stops it too.
func converseStream(wanted command, in *json.Decoder, out *json.Encoder) {
	stop := make(chan struct{})
	go func() {
		var line json.RawMessage
		_ = in.Decode(&line)
		close(stop)
	}()
	begun := func() { _ = out.Encode(struct{}{}) }
	_ = out.Encode(stream(wanted.Requests[0], wanted.PerSecond, begun, stop))
}

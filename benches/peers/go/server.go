// gorilla/websocket: echo on /echo, and on /fan what one sends goes to all, as a PreparedMessage.
// Usage: server PORT [deflate]
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/gorilla/websocket"
)

// As many messages as may wait for a member before who sends has to wait.
const queueMax = 256

type room struct {
	sync.Mutex
	members map[chan *websocket.PreparedMessage]struct{}
}

var (
	everyone = room{members: map[chan *websocket.PreparedMessage]struct{}{}}
	upgrader = websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
)

func echo(response http.ResponseWriter, request *http.Request) {
	socket, err := upgrader.Upgrade(response, request, nil)
	if err != nil {
		return
	}
	defer socket.Close()
	for {
		kind, message, err := socket.ReadMessage()
		if err != nil || socket.WriteMessage(kind, message) != nil {
			return
		}
	}
}

func fan(response http.ResponseWriter, request *http.Request) {
	socket, err := upgrader.Upgrade(response, request, nil)
	if err != nil {
		return
	}
	defer socket.Close()
	queue := make(chan *websocket.PreparedMessage, queueMax)
	everyone.join(queue)
	defer everyone.leave(queue)
	go func() {
		// When a write fails the rest of the queue is thrown away, so that nobody waits for it.
		dead := false
		for message := range queue {
			dead = dead || socket.WritePreparedMessage(message) != nil
		}
	}()
	for {
		kind, bytes, err := socket.ReadMessage()
		if err != nil {
			return
		}
		message, err := websocket.NewPreparedMessage(kind, bytes)
		if err != nil {
			return
		}
		everyone.tell(message)
	}
}

func (r *room) join(queue chan *websocket.PreparedMessage) {
	r.Lock()
	defer r.Unlock()
	r.members[queue] = struct{}{}
}

func (r *room) leave(queue chan *websocket.PreparedMessage) {
	r.Lock()
	defer r.Unlock()
	delete(r.members, queue)
	close(queue)
}

func (r *room) tell(message *websocket.PreparedMessage) {
	r.Lock()
	defer r.Unlock()
	for queue := range r.members {
		queue <- message
	}
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: server PORT [deflate]")
		os.Exit(2)
	}
	// Go sets TCP_NODELAY on what it accepts. Buffers: those of net/http, the default.
	upgrader.EnableCompression = len(os.Args) > 2 && os.Args[2] == "deflate"
	http.HandleFunc("/echo", echo)
	http.HandleFunc("/fan", fan)
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("listening on http://" + listener.Addr().String())
	fmt.Fprintln(os.Stderr, http.Serve(listener, nil))
}

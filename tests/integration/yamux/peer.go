// The reference implementation of yamux, as a server that echoes and as a client that checks echoes.
//
//	build:  GO111MODULE=off GOPATH=/usr/share/gocode go build -o peer peer.go
//	usage:  peer server
//	        peer client PORT STREAMS BYTES
//	        peer away PORT
//
// The server prints the port it listens on, and goes away (takes no more streams) at SIGUSR1.  The
// client opens so many streams at once, sends so many bytes on each, and prints what came back as JSON; it
// sends no FIN before, for it reads nothing behind its own.  "away" opens a stream, prints "known" when it
// echoes, waits until the other side goes away, and tries one more, and the old one.
package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/yamux"
)

func config() *yamux.Config {
	c := yamux.DefaultConfig()
	c.LogOutput = os.Stderr
	return c
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func echo(stream net.Conn) {
	io.Copy(stream, stream)
	stream.Close()
}

func serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	for {
		conn, err := listener.Accept()
		check(err)
		session, err := yamux.Server(conn, config())
		check(err)
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGUSR1)
		go func() {
			<-asked
			session.GoAway()
		}()
		go func() {
			for {
				stream, err := session.Accept()
				if err != nil {
					return
				}
				go echo(stream)
			}
		}()
	}
}

type outcome struct {
	Good  int   `json:"good"`
	Bytes int64 `json:"bytes"`
	Ping  int64 `json:"ping_us"`
	Left  int   `json:"left"`
}

// try sends size bytes on a stream, and tells whether the same came back.
func try(session *yamux.Session, seed int64, size int64) bool {
	stream, err := session.Open()
	check(err)
	defer stream.Close()
	sent := sha256.New()
	written := make(chan error)
	go func() {
		_, err := io.Copy(io.MultiWriter(stream, sent), io.LimitReader(rand.New(rand.NewSource(seed)), size))
		written <- err
	}()
	came := sha256.New()
	n, err := io.CopyN(came, stream, size)
	check(err)
	check(<-written)
	return n == size && string(sent.Sum(nil)) == string(came.Sum(nil))
}

func drive(port string, streams int, size int64) {
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	check(err)
	session, err := yamux.Client(conn, config())
	check(err)
	var result outcome
	var lock sync.Mutex
	var all sync.WaitGroup
	for i := 0; i < streams; i++ {
		all.Add(1)
		go func(seed int64) {
			defer all.Done()
			if try(session, seed, size) {
				lock.Lock()
				result.Good++
				result.Bytes += size
				lock.Unlock()
			}
		}(int64(i))
	}
	all.Wait()
	took, err := session.Ping()
	check(err)
	result.Ping = took.Microseconds()
	for i := 0; i < 100 && session.NumStreams() > 0; i++ {
		time.Sleep(10 * time.Millisecond)
	}
	result.Left = session.NumStreams()
	check(json.NewEncoder(os.Stdout).Encode(result))
	session.Close()
}

func away(port string) {
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	check(err)
	session, err := yamux.Client(conn, config())
	check(err)
	stream, err := session.Open()
	check(err)
	asked := func(text string) string {
		_, err := stream.Write([]byte(text))
		check(err)
		came := make([]byte, len(text))
		_, err = io.ReadFull(stream, came)
		check(err)
		return string(came)
	}
	fmt.Println(asked("known"))
	for {
		more, err := session.Open()
		if err != nil {
			fmt.Println(err)
			break
		}
		more.Close()
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Println(asked("still"))
	check(stream.Close())
}

func main() {
	if os.Args[1] == "server" {
		serve()
		return
	}
	if os.Args[1] == "away" {
		away(os.Args[2])
		return
	}
	streams, err := strconv.Atoi(os.Args[3])
	check(err)
	size, err := strconv.ParseInt(os.Args[4], 10, 64)
	check(err)
	drive(os.Args[2], streams, size)
}

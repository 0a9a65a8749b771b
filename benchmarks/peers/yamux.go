// Measures yamux with its reference implementation, and is a server that others are measured beside.
//
//	build:  GO111MODULE=off GOPATH=/usr/share/gocode go build -o yamux yamux.go
//	usage:  yamux serve PORT
//	        yamux echo PORT SIZE STREAMS SECONDS   messages that come back, and how long they take
//	        yamux beside PORT SIZE SECONDS         the same on one stream, while another moves all it can
//	        yamux opens PORT COUNT                 streams opened, used once and closed, 200 at a time
//	        yamux streams PORT COUNT               so many streams, used once, held until stdin ends
//	        yamux connections PORT COUNT           so many connections without a stream, held likewise
//
// A message is four bytes that tell its length, big-endian, and so many more.  Figures are told as JSON.
package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

const atOnce = 200

func settings() *yamux.Config {
	chosen := yamux.DefaultConfig()
	chosen.MaxStreamWindowSize = 16 * 1024 * 1024
	chosen.LogOutput = io.Discard
	return chosen
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	must(err)
	return value
}

func dial(port string) *yamux.Session {
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	must(err)
	session, err := yamux.Client(conn, settings())
	must(err)
	return session
}

// Gives back each message of a stream as soon as all of it is there.
func answer(stream net.Conn) {
	defer stream.Close()
	message := make([]byte, 4)
	for {
		if _, err := io.ReadFull(stream, message[:4]); err != nil {
			return
		}
		whole := 4 + int(binary.BigEndian.Uint32(message))
		if whole > len(message) {
			message = append(message[:4], make([]byte, whole-4)...)
		}
		if _, err := io.ReadFull(stream, message[4:whole]); err != nil {
			return
		}
		if _, err := stream.Write(message[:whole]); err != nil {
			return
		}
	}
}

func serve(port string) {
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	must(err)
	for {
		conn, err := listener.Accept()
		must(err)
		session, err := yamux.Server(conn, settings())
		must(err)
		go func() {
			for {
				stream, err := session.Accept()
				if err != nil {
					return
				}
				go answer(stream)
			}
		}()
	}
}

// One side of a stream: sends a message, and waits until it is back.
type asker struct {
	stream        net.Conn
	sent, receive []byte
}

func ask(session *yamux.Session, size int) *asker {
	stream, err := session.Open()
	must(err)
	one := &asker{stream, make([]byte, 4+size), make([]byte, 4+size)}
	binary.BigEndian.PutUint32(one.sent, uint32(size))
	return one
}

func (one *asker) once() time.Duration {
	begun := time.Now()
	_, err := one.stream.Write(one.sent)
	must(err)
	_, err = io.ReadFull(one.stream, one.receive)
	must(err)
	return time.Since(begun)
}

// Asks until the time is over; how long each took.
func (one *asker) until(over time.Time) []time.Duration {
	var took []time.Duration
	for time.Now().Before(over) {
		took = append(took, one.once())
	}
	return took
}

func tell(took []time.Duration, size int, span time.Duration) {
	sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
	at := func(share float64) float64 { return float64(took[int(share*float64(len(took)-1))].Microseconds()) }
	rate := float64(len(took)) / span.Seconds()
	must(json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"per_s": rate, "mb_s": rate * float64(size) / 1e6, "p50_us": at(0.5), "p99_us": at(0.99),
	}))
}

func echo(port string, size, streams int, span time.Duration) {
	session := dial(port)
	found := make(chan []time.Duration)
	begun := time.Now()
	for i := 0; i < streams; i++ {
		go func() { found <- ask(session, size).until(begun.Add(span)) }()
	}
	var all []time.Duration
	for i := 0; i < streams; i++ {
		all = append(all, <-found...)
	}
	tell(all, size, time.Since(begun))
}

func beside(port string, size int, span time.Duration) {
	session := dial(port)
	bulk := ask(session, 1024*1024)
	over := time.Now().Add(span)
	go bulk.until(over.Add(time.Hour))
	tell(ask(session, size).until(over), size, span)
}

func opens(port string, count int) {
	session := dial(port)
	var left sync.WaitGroup
	left.Add(count)
	places := make(chan bool, atOnce)
	begun := time.Now()
	for i := 0; i < count; i++ {
		places <- true
		go func() {
			one := ask(session, 100)
			one.once()
			one.stream.Close()
			<-places
			left.Done()
		}()
	}
	left.Wait()
	must(json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"per_s": float64(count) / time.Since(begun).Seconds(),
	}))
}

func hold() {
	fmt.Println("held")
	_, err := io.Copy(io.Discard, os.Stdin)
	must(err)
}

func main() {
	how, port := os.Args[1], os.Args[2]
	rest := os.Args[3:]
	span := func() time.Duration {
		seconds, err := strconv.ParseFloat(rest[len(rest)-1], 64)
		must(err)
		return time.Duration(seconds * float64(time.Second))
	}
	switch how {
	case "serve":
		serve(port)
	case "echo":
		echo(port, number(rest[0]), number(rest[1]), span())
	case "beside":
		beside(port, number(rest[0]), span())
	case "opens":
		opens(port, number(rest[0]))
	case "streams":
		session := dial(port)
		for i := 0; i < number(rest[0]); i++ {
			ask(session, 10).once()
		}
		hold()
	case "connections":
		for i := 0; i < number(rest[0]); i++ {
			_, err := dial(port).Ping()
			must(err)
		}
		hold()
	default:
		log.Fatalf("no such measurement: %s", how)
	}
}

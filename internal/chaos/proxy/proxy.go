// Package proxy is a proxy between the clients of a database and its server that breaks
// connections on request: at once, after a time without any traffic, or when the server
// has committed and the client has not received the answer.
package proxy

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Protocol is the protocol of the connections through a Proxy.
type Protocol int

// The protocols in whose streams a Proxy finds commits. Neither may be encrypted.
const (
	Postgres Protocol = iota
	MySQL
)

// Proxy forwards connections to one server. It is safe for concurrent use.
type Proxy struct {
	target   string
	protocol Protocol
	listener net.Listener
	wg       sync.WaitGroup

	mu     sync.Mutex
	links  map[*link]struct{}
	closed bool
	toCut  int            // commits whose answers are still to be cut off
	cut    map[string]int // those that were, by the command that committed
}

// Start returns a Proxy to the server at target, on a free port of loopback.
func Start(target string, protocol Protocol) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it returns at once
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	p := &Proxy{
		target: target, protocol: protocol, listener: listener,
		links: make(map[*link]struct{}), cut: make(map[string]int),
	}
	p.wg.Go(p.accept)
	return p, nil
}

// Addr returns the address for clients.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close breaks all connections and returns when no goroutine is left.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	for _, l := range p.some(1, nil) {
		l.reset()
	}
	p.wg.Wait()
}

// Reset breaks a share of the connections at once, and returns how many.
func (p *Proxy) Reset(share float64, choice *rand.Rand) int {
	links := p.some(share, choice)
	for _, l := range links {
		l.reset()
	}
	return len(links)
}

// Blackhole drops all traffic of a share of the connections, in both directions, and
// breaks them after d. It returns their number at once.
func (p *Proxy) Blackhole(share float64, d time.Duration, choice *rand.Rand) int {
	links := p.some(share, choice)
	for _, l := range links {
		l.blackholed.Store(true)
		time.AfterFunc(d, l.reset)
	}
	return len(links)
}

// CutAfterCommit breaks the connections of the next n transactions that change something,
// each after the server has committed and before the client receives the answer.
func (p *Proxy) CutAfterCommit(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.toCut += n
}

// Cuts returns how many commits were cut off from their answers, by command.
func (p *Proxy) Cuts() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.cut)
}

// cutting reports whether some commit is still to be cut off.
func (p *Proxy) cutting() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.toCut > 0
}

// takeCut reports whether this commit is to be cut off, and counts it.
func (p *Proxy) takeCut(command string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.toCut == 0 {
		return false
	}
	p.toCut--
	p.cut[command]++
	return true
}

// some returns a share of the connections, at least one if there are any.
func (p *Proxy) some(share float64, choice *rand.Rand) []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*link, 0, len(p.links))
	for l := range p.links {
		all = append(all, l)
	}
	if choice != nil {
		choice.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
	return all[:min(len(all), max(1, int(share*float64(len(all)))))]
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.wg.Go(func() { p.serve(client) })
	}
}

// serve connects a client with the server until one of the two ends.
func (p *Proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.target) //nolint:noctx // loopback: it answers or refuses at once
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{proxy: p, client: client, server: server}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		l.reset()
		return
	}
	p.links[l] = struct{}{}
	p.mu.Unlock()

	var pumps sync.WaitGroup
	pumps.Go(func() { l.up(); l.reset() })
	pumps.Go(func() { l.down(); l.reset() })
	pumps.Wait()
}

// forget removes a connection that breaks from the list.
func (p *Proxy) forget(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

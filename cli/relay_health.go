package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"
)

const healthPatience = 4 * time.Second // below what a supervisor waits for its check

// relayHealthCmd is `kubbi-mcp relay health`: for a container that has no curl.
type relayHealthCmd struct{ listenFlags }

// Run asks the relay that listens at --listen whether it is ready.
func (c *relayHealthCmd) Run(a *app) error {
	addr, err := ownAddr(c.Listen)
	if err != nil {
		return usage(err)
	}
	status, body, err := askRelay(a.ctx, c.scheme()+"://"+addr+"/readyz")
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("the relay at %s is not ready: %s", addr, body)
	}
	return a.print(string(body) + "\n")
}

// askRelay requests a probe of a relay on this machine.
func askRelay(ctx context.Context, url string) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, usage(errListen)
	}
	client := &http.Client{
		Transport: &http.Transport{ // no proxy
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: 16 << 10,
			// The certificate is for another name, and nothing secret is sent.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("no relay answers at %s", req.URL.Host)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		return 0, nil, fmt.Errorf("the relay at %s stopped answering", req.URL.Host)
	}
	return resp.StatusCode, bytes.TrimSpace(body), nil
}

// ownAddr is the address at which this machine reaches a listener.
func ownAddr(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || port == "0" {
		return "", errListen
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port), nil
}

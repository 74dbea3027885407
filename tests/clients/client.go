// Go's net/http.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptrace"
	"os"
	"runtime"
	"strings"
	"time"
)

var (
	jing, aiclk, sandbox = os.Getenv("JING"), os.Getenv("AICLK"), os.Getenv("SANDBOX")

	user    = []byte(`{"name":"张三","tags":["a","b"]}`)
	picture = bytes.Repeat([]byte("not really a picture\n"), 10_000)

	client = &http.Client{Timeout: 20 * time.Second}
)

func main() {
	check("GET", get)
	check("HEAD", head)
	check("streamed answer", streamed)
	check("POST JSON", post)
	check("JSON in the query", query)
	check("chunked upload", chunked)
	check("multipart upload", form)
	check("Expect: 100-continue", expect100)
	check("Expect, refused", expectRefused)
	check("keep-alive", keepAlive)
	check("dead token, GET", dead(get))
	check("dead token, POST JSON", dead(post))
	check("dead token, upload", dead(chunked))
	check("dead token, multipart", dead(form))
	check("dead token, Expect", dead(expect100))
}

// What the vendor says of the call that it got, and what became of a rejection.
type echo struct {
	Query  string
	Length int    `json:"body_length"`
	Sum    string `json:"body_sha256"`
	retry  string
}

func get() (echo, error) {
	data, err := call("GET", jing+"/v1/user/list?page=1", "", nil)
	return data, differ(err, data.Query, "page=1")
}

func head() (echo, error) {
	answer, err := client.Head(jing + "/v1/user/list")
	if err != nil {
		return echo{}, err
	}
	return echo{}, differ(answer.Body.Close(), answer.StatusCode, 200)
}

func streamed() (echo, error) {
	answer, err := client.Get(jing + "/v1/-/stream?chunks=3&delay_ms=5")
	if err != nil {
		return echo{}, err
	}
	defer answer.Body.Close()
	events, err := io.ReadAll(answer.Body)
	return echo{}, differ(err, string(events), strings.Repeat("data: sandbox\n\n", 3))
}

func post() (echo, error) {
	data, err := call("POST", jing+"/v1/user", "application/json", bytes.NewReader(user))
	return data, differ(err, data.Sum, sum(user))
}

// As it is written: Go parses the query no further, and sends it so.
func query() (echo, error) {
	data, err := call("GET", jing+`/v1/user/list?filter={"name":["a","b"]}`, "", nil)
	return data, differ(err, data.Query, "filter={%22name%22:[%22a%22,%22b%22]}")
}

// Of a length that is not known before.
func chunked() (echo, error) {
	data, err := call("POST", jing+"/v1/picture", "image/png", io.MultiReader(bytes.NewReader(picture)))
	return data, differ(err, data.Sum, sum(picture))
}

func form() (echo, error) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	file, err := form.CreateFormFile("file", "a.png")
	if err != nil {
		return echo{}, err
	}
	file.Write(picture)
	form.Close()
	data, err := call("POST", aiclk+"/openapi/picture", form.FormDataContentType(), &body)
	return data, differ(err, data.Length > len(picture), true)
}

func expect100() (echo, error) {
	continued := false
	trace := &httptrace.ClientTrace{Got100Continue: func() { continued = true }}
	data, err := traced(trace, "POST", jing+"/v1/picture", bytes.NewReader(picture))
	return data, differ(differ(err, data.Sum, sum(picture)), continued, true)
}

// The gateway lets nobody mint; nothing of the body is asked for.
func expectRefused() (echo, error) {
	body := bytes.NewReader(picture)
	continued := false
	trace := &httptrace.ClientTrace{Got100Continue: func() { continued = true }}
	_, err := traced(trace, "POST", jing+"/v1/oauth2/token", body)
	if err == nil || !strings.HasPrefix(err.Error(), "403 ") {
		return echo{}, fmt.Errorf("not 403: %v", err)
	}
	return echo{}, differ(differ(nil, body.Len(), len(picture)), continued, false)
}

func keepAlive() (echo, error) {
	reused := 0
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if info.Reused {
			reused++
		}
	}}
	for i := 0; i < 3; i++ {
		if _, err := traced(trace, "GET", jing+"/v1/user/list", nil); err != nil {
			return echo{}, err
		}
	}
	return echo{}, differ(nil, reused >= 2, true)
}

func call(method, url, contentType string, body io.Reader) (echo, error) {
	request, err := http.NewRequest(method, url, body)
	if err != nil {
		return echo{}, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	return send(request)
}

func traced(trace *httptrace.ClientTrace, method, url string, body io.Reader) (echo, error) {
	request, err := http.NewRequest(method, url, body)
	if err != nil {
		return echo{}, err
	}
	if body != nil {
		request.Header.Set("Expect", "100-continue")
	}
	return send(request.WithContext(httptrace.WithClientTrace(request.Context(), trace)))
}

func send(request *http.Request) (echo, error) {
	answer, err := client.Do(request)
	if err != nil {
		return echo{}, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return echo{}, err
	}
	if answer.StatusCode != 200 {
		return echo{}, fmt.Errorf("%s: %s", answer.Status, text)
	}
	var envelope struct{ Data echo }
	err = json.Unmarshal(text, &envelope)
	envelope.Data.retry = answer.Header.Get("Tokenward-Retry")
	return envelope.Data, err
}

func dead(call func() (echo, error)) func() (echo, error) {
	return func() (echo, error) {
		answer, err := client.Post(sandbox+"/-/fault?kind=expire", "", nil)
		if err != nil {
			return echo{}, err
		}
		answer.Body.Close()
		data, err := call()
		return data, differ(err, data.retry, "recovered")
	}
}

func check(name string, call func() (echo, error)) {
	result := "ok"
	if _, err := call(); err != nil {
		result = strings.Join(strings.Fields(err.Error()), " ")
	}
	version := strings.TrimPrefix(runtime.Version(), "go")
	fmt.Printf("net/http Go %s\t%s\t%s\n", version, name, result)
}

func differ[T comparable](err error, found, expected T) error {
	if err == nil && found != expected {
		return fmt.Errorf("%v instead of %v", found, expected)
	}
	return err
}

func sum(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }

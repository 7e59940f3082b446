// A delegation broker in Go, standard library only, in memory: what fumble plays against in another language.
//
// It is correct in what it does, unless -request-context makes the mistake that Go makes easy: the goroutine that does
// the work is given the request's context, which ends as soon as the request is answered.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"sync"
	"syscall"
	"time"
)

const agentSilence = 5 * time.Second

type object = map[string]any

type workspace struct {
	ID           string `json:"id"`
	URL          string `json:"url"`
	DeliveryMode string `json:"delivery_mode"`
}

type delegation struct {
	ID     string `json:"delegation_id"`
	Source string `json:"source_id"`
	Target string `json:"target_id"`
	Status string `json:"status"`
	task   string
	key    string
}

type broker struct {
	retryDelay     time.Duration
	requestContext bool

	mu          sync.Mutex
	workspaces  map[string]workspace
	delegations []*delegation
	inbox       map[string][]object
}

func (b *broker) register(w http.ResponseWriter, r *http.Request) {
	var asked workspace
	if json.NewDecoder(r.Body).Decode(&asked) != nil || asked.ID == "" {
		answer(w, 400, object{"error": "invalid registration"})
		return
	}
	b.mu.Lock()
	b.workspaces[asked.ID] = asked
	b.mu.Unlock()
	answer(w, 200, object{"status": "registered"})
}

func (b *broker) delegate(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Target string `json:"target_id"`
		Task   string `json:"task"`
		Key    string `json:"idempotency_key"`
	}
	if json.NewDecoder(r.Body).Decode(&asked) != nil || asked.Target == "" || asked.Task == "" {
		answer(w, 400, object{"error": "invalid delegation request"})
		return
	}
	source := r.PathValue("id")
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range b.delegations {
		if asked.Key != "" && d.Source == source && d.key == asked.Key && d.Status != "failed" {
			answer(w, 200, object{
				"delegation_id": d.ID, "status": d.Status, "target_id": d.Target, "idempotent_hit": true,
			})
			return
		}
	}
	d := &delegation{newID(), source, asked.Target, "pending", asked.Task, asked.Key}
	b.delegations = append(b.delegations, d)
	ctx := r.Context()
	if !b.requestContext {
		ctx = context.WithoutCancel(ctx)
	}
	go b.execute(ctx, d)
	answer(w, 202, object{"delegation_id": d.ID, "status": "delegated", "target_id": d.Target})
}

func (b *broker) list(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	listed := []*delegation{}
	for i := len(b.delegations) - 1; i >= 0; i-- {
		if b.delegations[i].Source == r.PathValue("id") {
			listed = append(listed, b.delegations[i])
		}
	}
	answer(w, 200, listed)
}

// Without a cursor the newest row comes first, past one the oldest.
func (b *broker) activity(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rows, since := b.inbox[r.PathValue("id")], r.URL.Query().Get("since_id")
	given := []object{}
	if since == "" {
		for i := len(rows) - 1; i >= 0; i-- {
			given = append(given, rows[i])
		}
		answer(w, 200, given)
		return
	}
	for i, row := range rows {
		if row["id"] == since {
			answer(w, 200, append(given, rows[i+1:]...))
			return
		}
	}
	answer(w, 410, object{"error": "since_id cursor not found"})
}

func (b *broker) execute(ctx context.Context, d *delegation) {
	message := object{
		"jsonrpc": "2.0", "id": d.ID, "method": "message/send",
		"params": object{"message": object{
			"role": "user", "messageId": d.ID, "metadata": object{"delegation_id": d.ID},
			"parts": []object{{"kind": "text", "text": d.task}},
		}},
	}
	b.mu.Lock()
	target := b.workspaces[d.Target]
	if target.DeliveryMode == "poll" {
		d.Status = "queued"
		b.addRow(d.Target, d.Source, "message/send", "ok", "", message, nil)
		b.mu.Unlock()
		return
	}
	d.Status = "dispatched"
	b.mu.Unlock()
	text, sent, err := send(ctx, target.URL, message)
	if !sent {
		time.Sleep(b.retryDelay)
		text, _, err = send(ctx, target.URL, message)
	}
	b.end(ctx, d, text, err)
}

// end writes the outcome, as to a database: not at all if the context is over.
func (b *broker) end(ctx context.Context, d *delegation, text string, err error) {
	if ctx.Err() != nil {
		log.Printf("%s: cannot write the outcome: %v", d.ID, ctx.Err())
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	about := object{"delegation_id": d.ID}
	if err != nil {
		d.Status = "failed"
		b.addRow(d.Source, d.Source, "delegate_result", "error", err.Error(), about, about)
		return
	}
	d.Status = "completed"
	b.addRow(d.Source, d.Source, "delegate_result", "ok", "", about, object{"delegation_id": d.ID, "text": text})
}

func (b *broker) addRow(owner, source, method, status, detail string, request, response object) {
	b.inbox[owner] = append(b.inbox[owner], object{
		"id": newID(), "workspace_id": owner, "activity_type": "a2a_receive", "source_id": source, "method": method,
		"status": status, "error_detail": detail, "request_body": request, "response_body": response,
		"created_at": time.Now(),
	})
}

// send returns what the agent said, and whether it may have got the message at all.
func send(ctx context.Context, url string, message object) (text string, sent bool, err error) {
	body, err := json.Marshal(message)
	if err != nil {
		return "", true, err
	}
	request, err := http.NewRequestWithContext(ctx, "POST", url, bytes.NewReader(body))
	if err != nil {
		return "", true, err
	}
	request.Header.Set("Content-Type", "application/json")
	client := http.Client{Timeout: agentSilence, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return "", !errors.Is(err, syscall.ECONNREFUSED), err
	}
	defer response.Body.Close()
	reply, _ := io.ReadAll(response.Body) // of an answer that is cut, what came counts
	if response.StatusCode == 503 && bytes.Contains(reply, []byte(`"restarting": true`)) {
		return "", false, errors.New("agent is restarting")
	}
	if response.StatusCode/100 != 2 || len(reply) == 0 {
		return "", true, fmt.Errorf("agent answered %d with %d bytes", response.StatusCode, len(reply))
	}
	var said struct {
		Result struct{ Parts []struct{ Text string } }
	}
	if json.Unmarshal(reply, &said) == nil && len(said.Result.Parts) > 0 {
		return said.Result.Parts[0].Text, true, nil
	}
	return string(reply), true, nil
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		log.Printf("cannot answer: %v", err)
	}
}

func newID() string {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		panic(err)
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "where to listen")
	retryDelay := flag.Duration("retry-delay", 300*time.Millisecond, "between two attempts to deliver")
	requestContext := flag.Bool("request-context", false, "let the work end with the request")
	flag.Parse()
	b := &broker{
		retryDelay: *retryDelay, requestContext: *requestContext,
		workspaces: map[string]workspace{}, inbox: map[string][]object{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /registry/register", b.register)
	mux.HandleFunc("POST /workspaces/{id}/delegate", b.delegate)
	mux.HandleFunc("GET /workspaces/{id}/delegations", b.list)
	mux.HandleFunc("GET /workspaces/{id}/activity", b.activity)
	log.Fatal(http.ListenAndServe(*listen, mux))
}

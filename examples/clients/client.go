// Usage: go run client.go http://HOST:PORT USER
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"time"
)

// Answer is what the pipeline answers.
type Answer struct {
	Items []struct {
		Item  string  `json:"item"`
		Score float64 `json:"score"`
	} `json:"items"`
	Variant  string   `json:"variant"`
	Degraded []string `json:"degraded"`
}

var client = http.Client{Timeout: 5 * time.Second}

// ask decodes an answer, or makes its body an error: what is wrong and what to do.
func ask(response *http.Response, err error, into any) error {
	if err != nil {
		return err
	}
	defer response.Body.Close()
	decoder := json.NewDecoder(response.Body)
	if response.StatusCode >= 400 {
		var failed struct {
			Error struct{ Code, Message string }
		}
		if err := decoder.Decode(&failed); err != nil {
			return fmt.Errorf("status %d", response.StatusCode)
		}
		id := response.Header.Get("x-request-id")
		return fmt.Errorf("%s: %s (request %s)", failed.Error.Code, failed.Error.Message, id)
	}
	return decoder.Decode(into)
}

func main() {
	base, user := os.Args[1], os.Args[2]

	// The best items for a user.
	var answer Answer
	response, err := client.Get(base + "/v1/recommend?" + url.Values{"user": {user}, "k": {"3"}}.Encode())
	if err := ask(response, err, &answer); err != nil {
		log.Fatal(err)
	}
	for _, item := range answer.Items {
		fmt.Println(item.Item, item.Score)
	}
	first := answer.Items[0].Item

	// Items like the first of them.
	var similar Answer
	response, err = client.Get(base + "/v1/similar?" + url.Values{"item": {first}, "k": {"3"}}.Encode())
	if err := ask(response, err, &similar); err != nil {
		log.Fatal(err)
	}
	fmt.Print("similar:")
	for _, item := range similar.Items {
		fmt.Print(" ", item.Item)
	}
	fmt.Println()

	// The user clicked on it: in their next answer. Sent again under the same event_id it counts once.
	click := map[string]any{"event_id": "go-1", "user": user, "item": first, "type": "click"}
	body, _ := json.Marshal(map[string]any{"interactions": []any{click}})
	var receipt struct{ Taken int }
	response, err = client.Post(base+"/v1/interactions", "application/json", bytes.NewReader(body))
	if err := ask(response, err, &receipt); err != nil {
		log.Fatal(err)
	}
	fmt.Println("taken:", receipt.Taken)

	response, err = client.Get(base + "/v1/similar?" + url.Values{"item": {"no such item"}}.Encode())
	if err := ask(response, err, &similar); err != nil {
		fmt.Println("refused:", err)
	}
}

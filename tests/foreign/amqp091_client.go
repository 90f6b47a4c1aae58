// rabbitmq/amqp091-go, as Debian packages it, as a black box: a life of a message, as any Go program would write it.
//
// GO111MODULE=off GOPATH=/usr/share/gocode go run tests/foreign/amqp091_client.go HOST PORT

package main

import (
	"context"
	"fmt"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const body = "from amqp091-go"

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func expect(ok bool, what string) {
	if !ok {
		panic(what)
	}
}

// one waits for an item, but not for ever.
func one[T any](items <-chan T, what string) T {
	select {
	case item, open := <-items:
		expect(open, what+": the channel ended")
		return item
	case <-time.After(10 * time.Second):
		panic(what + ": nothing came")
	}
}

func main() {
	uri := fmt.Sprintf("amqp://guest:guest@%s:%s/", os.Args[1], os.Args[2])
	connection, err := amqp.Dial(uri)
	must(err)
	defer connection.Close()
	channel, err := connection.Channel()
	must(err)
	must(channel.Confirm(false))

	must(channel.ExchangeDeclare("foreign.go", "topic", false, true, false, false, nil))
	_, err = channel.QueueDeclare("foreign.go.dead", false, false, false, false, nil)
	must(err)
	queue, err := channel.QueueDeclare("foreign.go", false, false, false, false, amqp.Table{
		"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "foreign.go.dead",
	})
	must(err)
	must(channel.QueueBind(queue.Name, "order.*.placed", "foreign.go", false, nil))

	// Confirms, with a context; a return comes before the confirm of what nobody takes.
	returns := channel.NotifyReturn(make(chan amqp.Return, 1))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	message := amqp.Publishing{
		Body: []byte(body), MessageId: "7", DeliveryMode: amqp.Persistent,
		Headers: amqp.Table{"number": int32(7), "nested": amqp.Table{"list": []interface{}{"a", true}}},
	}
	confirm, err := channel.PublishWithDeferredConfirmWithContext(ctx, "foreign.go", "order.7.placed", true, false, message)
	must(err)
	expect(confirm.Wait(), "the publish was not confirmed")
	confirm, err = channel.PublishWithDeferredConfirmWithContext(ctx, "foreign.go", "nobody", true, false, message)
	must(err)
	expect(one(returns, "a return").ReplyCode == amqp.NoRoute, "the return's code")
	expect(confirm.Wait(), "the returned publish was not confirmed")

	// Consume, reject with requeue, and without: the message ends as a dead letter.
	must(channel.Qos(1, 0, false))
	deliveries, err := channel.Consume(queue.Name, "go", false, false, false, false, nil)
	must(err)
	first := one(deliveries, "the first delivery")
	expect(string(first.Body) == body && !first.Redelivered, "the first delivery")
	expect(first.Headers["number"] == int32(7), "a header of the first delivery")
	must(first.Nack(false, true))
	second := one(deliveries, "the second delivery")
	expect(second.Redelivered && second.MessageId == "7", "the second delivery")
	must(second.Reject(false))
	must(channel.Cancel("go", false))
	var dead amqp.Delivery
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		var found bool
		dead, found, err = channel.Get("foreign.go.dead", false)
		must(err)
		if found {
			break
		}
		expect(time.Now().Before(deadline), "no dead letter came")
	}
	expect(dead.Headers["x-first-death-reason"] == "rejected", "the dead letter's reason")
	must(dead.Ack(false))

	for _, name := range []string{"foreign.go", "foreign.go.dead"} {
		_, err = channel.QueueDelete(name, false, false, false)
		must(err)
	}
	// An error closes the channel with its code, and the connection goes on.
	closed := channel.NotifyClose(make(chan *amqp.Error, 1))
	_, err = channel.QueueDeclarePassive("foreign.go", false, false, false, false, nil)
	expect(err != nil, "a missing queue was found")
	expect(one(closed, "the channel's end").Code == amqp.NotFound, "the channel's end")
	again, err := connection.Channel()
	must(err)
	must(again.ExchangeDelete("foreign.go", false, false))
}

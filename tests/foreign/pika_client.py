"""pika against a broker: confirms, returns, topics, dead letters, requeue. usage: pika_client.py HOST PORT"""

import sys

import pika

connection = pika.BlockingConnection(pika.ConnectionParameters(sys.argv[1], int(sys.argv[2])))
channel = connection.channel()
channel.confirm_delivery()
dead = channel.queue_declare("", exclusive=True).method.queue
work = channel.queue_declare(
    "", exclusive=True, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
).method.queue
channel.exchange_declare("foreign.pika", "topic", auto_delete=True)
channel.queue_bind(work, "foreign.pika", "order.#")
for number in range(100):
    properties = pika.BasicProperties(message_id=str(number), headers={"number": number})
    channel.basic_publish("foreign.pika", f"order.{number}", b"x" * number, properties, mandatory=True)
try:
    channel.basic_publish("foreign.pika", "nowhere", b"", mandatory=True)
    raise AssertionError("an unroutable message was not returned")
except pika.exceptions.UnroutableError:
    pass

seen = []
for method, properties, body in channel.consume(work, inactivity_timeout=10):
    assert method is not None, f"only {len(seen)} messages came"
    assert properties.headers["number"] == len(body)
    if len(seen) == 0 and not method.redelivered:
        channel.basic_nack(method.delivery_tag, requeue=True)
        continue
    seen.append(len(body))
    if len(body) == 7:
        channel.basic_reject(method.delivery_tag, requeue=False)
    else:
        channel.basic_ack(method.delivery_tag)
    if len(seen) == 100:
        break
channel.cancel()
assert sorted(seen) == list(range(100)), seen
method, properties, body = channel.basic_get(dead, auto_ack=True)
assert properties.headers["x-death"][0]["reason"] == "rejected", properties
try:
    channel.queue_declare("foreign.missing", passive=True)
    raise AssertionError("a missing queue was found")
except pika.exceptions.ChannelClosedByBroker as closed:
    assert closed.reply_code == 404, closed
connection.close()
print("ok")

// amqplib (Node) against a broker: confirms, prefetch, returns, large content, channel errors.
// usage: node amqplib_client.js HOST PORT
const assert = require('node:assert');
const amqplib = require('amqplib');

async function main(host, port) {
  const connection = await amqplib.connect(`amqp://guest:guest@${host}:${port}`);
  const channel = await connection.createConfirmChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true, maxPriority: 5 });
  const returned = new Promise((resolve) => channel.once('return', resolve));
  channel.publish('', 'foreign.nowhere', Buffer.from('back'), { mandatory: true });
  await channel.waitForConfirms();
  assert.strictEqual((await returned).content.toString(), 'back');

  const large = Buffer.alloc(1_000_000, 'x');
  for (let number = 0; number < 50; number += 1) {
    channel.sendToQueue(queue, number === 25 ? large : Buffer.from(String(number)), { priority: number % 5 });
  }
  await channel.waitForConfirms();
  await channel.prefetch(5);
  let sizes = 0;
  await new Promise((resolve) => {
    let count = 0;
    channel.consume(queue, (message) => {
      sizes += message.content.length;
      channel.ack(message);
      count += 1;
      if (count === 50) resolve();
    });
  });
  assert.strictEqual(sizes, 10 + 39 * 2 + large.length);

  const doomed = await connection.createChannel();
  const failed = new Promise((resolve) => doomed.once('error', resolve));
  await assert.rejects(doomed.checkQueue('foreign.missing'));
  assert.strictEqual((await failed).code, 404);
  await connection.close();
  console.log('ok');
}

main(process.argv[2], process.argv[3]).catch((error) => {
  console.error(error);
  process.exit(1);
});

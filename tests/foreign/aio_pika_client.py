"""aio-pika against a broker: robust connection, RPC, many tasks on one channel. usage: aio_pika_client.py HOST PORT"""

import asyncio
import sys

import aio_pika
from aio_pika.patterns import RPC


async def double(*, number: int) -> int:
    return 2 * number


async def main() -> None:
    connection = await aio_pika.connect_robust(host=sys.argv[1], port=int(sys.argv[2]))
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=10)
        queue = await channel.declare_queue(exclusive=True)
        messages = [aio_pika.Message(str(number).encode(), message_id=str(number)) for number in range(200)]
        await asyncio.gather(*(channel.default_exchange.publish(message, queue.name) for message in messages))
        seen = []
        async with queue.iterator() as iterator:
            async for message in iterator:
                async with message.process():
                    seen.append(int(message.body))
                if len(seen) == 200:
                    break
        assert sorted(seen) == list(range(200)), seen
        rpc = await RPC.create(channel)
        await rpc.register("foreign.double", double, auto_delete=True)
        answers = await asyncio.gather(*(rpc.call("foreign.double", {"number": n}) for n in range(20)))
        assert answers == [2 * number for number in range(20)], answers
    print("ok")


asyncio.run(asyncio.wait_for(main(), 40))

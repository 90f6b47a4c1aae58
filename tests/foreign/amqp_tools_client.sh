#!/bin/sh
# Debian's amqp-tools (rabbitmq-c) against a broker: declare, publish, get, consume, delete. usage: amqp_tools_client.sh HOST PORT
set -eu
uri="amqp://guest:guest@$1:$2/%2f"
amqp-declare-queue -u "$uri" -q foreign.tools
amqp-publish -u "$uri" -r foreign.tools -b "from the tools"
[ "$(amqp-get -u "$uri" -q foreign.tools)" = "from the tools" ]
amqp-publish -u "$uri" -r foreign.tools -b "consumed"
[ "$(amqp-consume -u "$uri" -q foreign.tools -c 1 cat)" = "consumed" ]
amqp-delete-queue -u "$uri" -q foreign.tools

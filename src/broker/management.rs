//! Client of the RabbitMQ management HTTP API.

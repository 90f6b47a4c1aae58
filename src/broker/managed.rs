//! A private, throw-away RabbitMQ node started from the server installed on this machine.

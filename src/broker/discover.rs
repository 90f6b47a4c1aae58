//! Which RabbitMQ servers this machine has, without starting one.

//! Random scripts: what they can contain, and how a seed becomes one.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

pub const QUEUES: [&str; 4] = ["diff.q0", "diff.q1", "diff.q2", "diff.q3"];
pub const EXCHANGES: [&str; 5] = ["diff.x0", "diff.x1", "diff.x2", "diff.x3", "diff.x4"];
/// The type that each exchange mostly has.
const EXCHANGE_KINDS: [&str; 5] = ["direct", "fanout", "topic", "headers", "topic"];
/// Mostly used where it does not exist, now and then declared.
pub const MISSING: &str = "diff.missing";
const KEYS: [&str; 6] = ["a", "b", "a.b", "a.b.c", "diff.q0", "diff.q1"];
const PATTERNS: [&str; 6] = ["a", "b", "a.*", "#", "*.b.#", "diff.q0"];
const TAGS: [&str; 4] = ["t0", "t1", "t2", "t3"];

/// A channel of one of the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub connection: usize,
    pub channel: u16,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Argument {
    Number(&'static str, i64),
    Text(&'static str, String),
    Flag(&'static str, bool),
}

/// One step of a script.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    DeclareQueue {
        name: String,
        passive: bool,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        arguments: Vec<Argument>,
    },
    DeleteQueue {
        name: String,
        if_unused: bool,
        if_empty: bool,
    },
    Purge {
        name: String,
    },
    DeclareExchange {
        name: String,
        kind: String,
        passive: bool,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        alternate: Option<String>,
    },
    DeleteExchange {
        name: String,
        if_unused: bool,
    },
    BindQueue {
        queue: String,
        exchange: String,
        key: String,
        arguments: Vec<Argument>,
    },
    UnbindQueue {
        queue: String,
        exchange: String,
        key: String,
        arguments: Vec<Argument>,
    },
    BindExchange {
        destination: String,
        source: String,
        key: String,
    },
    UnbindExchange {
        destination: String,
        source: String,
        key: String,
    },
    Publish {
        exchange: String,
        key: String,
        mandatory: bool,
        immediate: bool,
        expiration: Option<String>,
        priority: Option<u8>,
        header: Option<&'static str>,
        copies: bool,
        size: usize,
        count: u32,
    },
    Get {
        queue: String,
        no_ack: bool,
    },
    Consume {
        queue: String,
        tag: String,
        no_ack: bool,
        exclusive: bool,
        priority: Option<i64>,
    },
    Cancel {
        tag: String,
    },
    Qos {
        count: u16,
        global: bool,
    },
    /// `pick` chooses among the outstanding deliveries of the channel.
    Ack {
        pick: u32,
        multiple: bool,
    },
    Nack {
        pick: u32,
        multiple: bool,
        requeue: bool,
    },
    Reject {
        pick: u32,
        requeue: bool,
    },
    /// Settles a tag that was never given out, or 0.
    AckUnknown {
        tag: u64,
        multiple: bool,
    },
    Recover {
        requeue: bool,
    },
    ConfirmSelect,
    TxSelect,
    TxCommit,
    TxRollback,
    /// channel.flow with active = false.
    FlowOff,
    CloseChannel,
    /// Opens the channel, which is open.
    OpenTwice,
    CloseConnection,
    /// Drops the socket.
    Abort,
    /// A content header where none belongs.
    StrayHeader,
    /// A publish without content, followed by another method.
    HeaderMissing,
    /// basic.qos with a limit on octets.
    QosOctets,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    pub steps: Vec<(Place, Step)>,
    /// Publishes several messages at once. Then no queue has a dead-letter exchange: the dead letters of one message
    /// race with the next message on RabbitMQ.
    pub bursts: bool,
    /// Has short times to live: every step is followed by a wait that outlasts them.
    pub timed: bool,
}

struct Maker {
    rng: ChaCha8Rng,
    timed: bool,
    bursts: bool,
}

impl Maker {
    fn of<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.rng.random_range(0..items.len())].clone()
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn queue(&mut self) -> String {
        if self.chance(3) {
            return self.of(&[MISSING, "amq.reserved", ""]).to_owned();
        }
        self.of(&QUEUES).to_owned()
    }

    fn exchange(&mut self) -> String {
        if self.chance(4) {
            return self.of(&[MISSING, "amq.reserved", ""]).to_owned();
        }
        if self.chance(15) {
            return self
                .of(&["amq.direct", "amq.fanout", "amq.topic", "amq.headers"])
                .to_owned();
        }
        self.of(&EXCHANGES).to_owned()
    }

    fn queue_arguments(&mut self) -> Vec<Argument> {
        let mut arguments = Vec::new();
        if self.chance(25) {
            let length = self.of(&[0, 1, 3]);
            arguments.push(Argument::Number("x-max-length", length));
        }
        if self.chance(8) {
            let bytes = self.of(&[0, 20, 100]);
            arguments.push(Argument::Number("x-max-length-bytes", bytes));
        }
        if self.chance(20) {
            let overflow = self.of(&["drop-head", "reject-publish", "reject-publish-dlx"]);
            arguments.push(Argument::Text("x-overflow", overflow.to_owned()));
        }
        if !self.bursts && self.chance(35) {
            let exchange = if self.chance(40) {
                String::new()
            } else {
                self.exchange()
            };
            arguments.push(Argument::Text("x-dead-letter-exchange", exchange));
        }
        if self.chance(if self.bursts { 1 } else { 20 }) {
            let key = self.of(&["a", "diff.q0", "diff.q1", "diff.q2"]);
            arguments.push(Argument::Text("x-dead-letter-routing-key", key.to_owned()));
        }
        if self.chance(12) {
            let short = if self.timed { 50 } else { 3_600_000 };
            let ttl = if self.chance(4) {
                -1
            } else {
                self.of(&[0, short, short])
            };
            arguments.push(Argument::Number("x-message-ttl", ttl));
        }
        if self.chance(12) {
            let priority = if self.chance(4) { 256 } else { self.of(&[1, 5]) };
            arguments.push(Argument::Number("x-max-priority", priority));
        }
        if self.chance(10) {
            let flag = self.chance(80);
            arguments.push(Argument::Flag("x-single-active-consumer", flag));
        }
        if self.chance(4) {
            let kind = self.of(&["classic", "wrong"]);
            arguments.push(Argument::Text("x-queue-type", kind.to_owned()));
        }
        if self.chance(3) {
            arguments.push(Argument::Number("x-expires", 3_600_000));
        }
        arguments
    }

    fn declare_queue(&mut self) -> Step {
        let name = self.queue();
        Step::DeclareQueue {
            // A generated name differs from broker to broker.
            name: if name.is_empty() { QUEUES[0].to_owned() } else { name },
            passive: self.chance(10),
            durable: self.chance(15),
            exclusive: self.chance(4),
            auto_delete: self.chance(6),
            arguments: if self.chance(60) {
                self.queue_arguments()
            } else {
                Vec::new()
            },
        }
    }

    fn declare_exchange(&mut self) -> Step {
        let at = self.rng.random_range(0..EXCHANGES.len());
        // Each exchange mostly keeps its type, so that most declarations succeed.
        let kind = if self.chance(8) {
            self.of(&["direct", "fanout", "wrong"])
        } else {
            EXCHANGE_KINDS[at]
        };
        let name = if self.chance(4) {
            self.exchange()
        } else {
            EXCHANGES[at].to_owned()
        };
        Step::DeclareExchange {
            name,
            kind: kind.to_owned(),
            passive: self.chance(8),
            durable: self.chance(8),
            auto_delete: self.chance(8),
            internal: self.chance(5),
            alternate: if self.chance(15) { Some(self.exchange()) } else { None },
        }
    }

    /// A start on which most of the rest makes sense.
    fn set_up(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        for name in QUEUES {
            if self.chance(80) {
                steps.push(Step::DeclareQueue {
                    name: name.to_owned(),
                    passive: false,
                    durable: false,
                    exclusive: false,
                    auto_delete: self.chance(8),
                    arguments: if self.chance(60) {
                        self.queue_arguments()
                    } else {
                        Vec::new()
                    },
                });
            }
        }
        for (name, kind) in EXCHANGES.into_iter().zip(EXCHANGE_KINDS) {
            if self.chance(85) {
                steps.push(Step::DeclareExchange {
                    name: name.to_owned(),
                    kind: kind.to_owned(),
                    passive: false,
                    durable: false,
                    auto_delete: self.chance(8),
                    internal: self.chance(4),
                    alternate: if self.chance(15) { Some(self.exchange()) } else { None },
                });
            }
        }
        for _ in 0..5 {
            steps.push(self.bind_queue());
        }
        for _ in 0..self.rng.random_range(0..4) {
            steps.push(self.consume());
        }
        steps
    }

    fn bind_queue(&mut self) -> Step {
        Step::BindQueue {
            queue: self.queue(),
            exchange: self.exchange(),
            key: self.of(&PATTERNS).to_owned(),
            arguments: self.binding_arguments(),
        }
    }

    fn consume(&mut self) -> Step {
        Step::Consume {
            queue: self.queue(),
            tag: self.of(&TAGS).to_owned(),
            no_ack: self.chance(20),
            exclusive: self.chance(5),
            priority: if self.chance(10) {
                Some(self.of(&[-1, 1, 10]))
            } else {
                None
            },
        }
    }

    fn binding_arguments(&mut self) -> Vec<Argument> {
        if !self.chance(30) {
            return Vec::new();
        }
        let mut arguments = Vec::new();
        if self.chance(60) {
            let demand = self.of(&["all", "any", "any-with-x", "wrong"]);
            arguments.push(Argument::Text("x-match", demand.to_owned()));
        }
        if self.chance(80) {
            arguments.push(Argument::Text("h", self.of(&["one", "two"]).to_owned()));
        }
        arguments
    }

    fn publish(&mut self) -> Step {
        let straight = self.chance(50);
        Step::Publish {
            exchange: if straight { String::new() } else { self.exchange() },
            key: if self.chance(if straight { 90 } else { 20 }) {
                self.of(&QUEUES).to_owned()
            } else {
                self.of(&KEYS).to_owned()
            },
            mandatory: self.chance(25),
            immediate: self.chance(1),
            expiration: if self.chance(12) {
                let short = if self.timed { "50" } else { "3600000" };
                Some(
                    if self.chance(5) {
                        self.of(&["soon", "-1"])
                    } else {
                        self.of(&["0", short, short])
                    }
                    .to_owned(),
                )
            } else {
                None
            },
            priority: if self.chance(15) {
                Some(self.of(&[0, 1, 3, 9]))
            } else {
                None
            },
            header: if self.chance(20) {
                Some(self.of(&["one", "two"]))
            } else {
                None
            },
            copies: self.chance(4),
            size: if self.chance(3) {
                self.of(&[0, 131_064, 131_065, 300_000])
            } else {
                12
            },
            count: if self.bursts && self.chance(40) {
                self.rng.random_range(2..6)
            } else {
                1
            },
        }
    }

    fn step(&mut self) -> Step {
        match self.rng.random_range(0..1000) {
            0..25 => self.declare_queue(),
            25..45 => self.declare_exchange(),
            45..80 => self.bind_queue(),
            80..120 => self.consume(),
            120..220 => self.publish(),
            220..230 => Step::UnbindQueue {
                queue: self.queue(),
                exchange: self.exchange(),
                key: self.of(&PATTERNS).to_owned(),
                arguments: self.binding_arguments(),
            },
            230..252 => Step::BindExchange {
                // Bindings among the predeclared exchanges would outlive the script.
                destination: self.of(&EXCHANGES).to_owned(),
                source: self.exchange(),
                key: self.of(&PATTERNS).to_owned(),
            },
            252..260 => Step::UnbindExchange {
                // Bindings among the predeclared exchanges would outlive the script.
                destination: self.of(&EXCHANGES).to_owned(),
                source: self.exchange(),
                key: self.of(&PATTERNS).to_owned(),
            },
            260..520 => self.publish(),
            520..580 => Step::Get {
                queue: self.queue(),
                no_ack: self.chance(30),
            },
            580..660 => self.consume(),
            660..680 => Step::Cancel {
                tag: self.of(&TAGS).to_owned(),
            },
            680..720 => Step::Qos {
                count: self.of(&[0, 1, 2, 5]),
                global: self.chance(30),
            },
            720..790 => Step::Ack {
                pick: self.rng.random(),
                multiple: self.chance(30),
            },
            790..840 => Step::Nack {
                pick: self.rng.random(),
                multiple: self.chance(30),
                requeue: self.chance(60),
            },
            840..880 => Step::Reject {
                pick: self.rng.random(),
                requeue: self.chance(50),
            },
            880..890 => Step::AckUnknown {
                tag: self.of(&[0, 1, 77]),
                multiple: self.chance(50),
            },
            890..900 => Step::Recover {
                requeue: self.chance(90),
            },
            900..925 => Step::ConfirmSelect,
            925..929 => Step::TxSelect,
            929..933 => Step::TxCommit,
            933..936 => Step::TxRollback,
            936..938 => Step::FlowOff,
            938..955 => Step::CloseChannel,
            955..957 => Step::OpenTwice,
            957..961 => Step::CloseConnection,
            961..965 => Step::Abort,
            965..967 => Step::StrayHeader,
            967..969 => Step::HeaderMissing,
            969..972 => Step::QosOctets,
            972..990 => Step::Purge { name: self.queue() },
            990..996 => Step::DeleteQueue {
                name: self.queue(),
                if_unused: self.chance(30),
                if_empty: self.chance(30),
            },
            _ => Step::DeleteExchange {
                name: self.exchange(),
                if_unused: self.chance(40),
            },
        }
    }
}

impl Script {
    /// The script of a seed: always the same.
    pub fn from_seed(seed: u64) -> Self {
        let mut maker = Maker {
            rng: ChaCha8Rng::seed_from_u64(seed),
            timed: seed.is_multiple_of(50),
            bursts: seed.is_multiple_of(3),
        };
        let channels = maker.rng.random_range(2..=4_u16);
        let connections = if maker.chance(50) { 1 } else { 2 };
        let length = maker.rng.random_range(10..45);
        let mut steps = maker.set_up();
        for _ in 0..length {
            steps.push(maker.step());
        }
        let steps = steps
            .into_iter()
            .map(|step| {
                let number = maker.rng.random_range(0..channels);
                let place = Place {
                    connection: usize::from(number) % connections,
                    channel: 1 + number / connections as u16,
                };
                (place, step)
            })
            .collect();
        Self {
            steps,
            timed: maker.timed,
            bursts: maker.bursts,
        }
    }
}

//! What must hold for any bytes that clients send to the embedded broker: it does not panic, answers in whole frames, stays
//! within its memory, and goes on serving a bystander. `tests/embedded_robustness.rs` and the fuzz target in `fuzz/`
//! share this.

use orderstorm::broker::embedded::{EmbeddedOptions, Probe, ProbeBroker, ProbeState};

const PROTOCOL_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";
const END: u8 = 0xCE;
const MEMORY_LIMIT: u64 = 1 << 20;
/// How far beyond its limit the account may be: one batch of input, and what it makes the broker write.
const MEMORY_SLACK: u64 = 1 << 20;

/// The first octet says what the others are.
struct Mode(u8);

impl Mode {
    /// Both clients have logged in and opened channels 1 to 3.
    fn is_logged_in(&self) -> bool {
        self.0 & 0x80 != 0
    }

    /// Not a stream of bytes but records, each of which becomes a well-formed frame, see [`records`].
    fn is_records(&self) -> bool {
        self.0 & 0x40 != 0
    }

    /// Octets in each read of a stream.
    fn piece(&self) -> usize {
        let low = usize::from(self.0 & 0x3F) + 1;
        low * low
    }
}

/// Feeds `input` to a fresh broker.
///
/// # Panics
/// When something does not hold.
pub fn check(input: &[u8]) {
    let Some((mode, rest)) = input.split_first() else {
        return;
    };
    let mode = Mode(*mode);
    let broker = ProbeBroker::new(EmbeddedOptions {
        memory_limit: MEMORY_LIMIT,
        max_message_size: 64 << 10,
        output_limit: 64 << 10,
        ..EmbeddedOptions::default()
    });
    let mut clients = [Client::new(&broker), Client::new(&broker)];
    if mode.is_logged_in() {
        for client in &mut clients {
            client.feed(&broker, &login());
        }
    }
    if mode.is_records() {
        for (client, frame) in records(rest) {
            clients[client].feed(&broker, &frame);
        }
    } else {
        for piece in rest.chunks(mode.piece()) {
            clients[0].feed(&broker, piece);
        }
    }
    for client in &mut clients {
        client.take();
        assert_whole_frames(&client.output);
    }
    drop(clients);
    bystander_is_served(&broker);
}

struct Client {
    probe: Probe,
    output: Vec<u8>,
    state: ProbeState,
}

impl Client {
    fn new(broker: &ProbeBroker) -> Self {
        Self {
            probe: broker.connect(),
            output: Vec::new(),
            state: ProbeState::Reading,
        }
    }

    /// What a connection's socket would do: it is not read where the broker says so.
    fn feed(&mut self, broker: &ProbeBroker, bytes: &[u8]) {
        if matches!(self.state, ProbeState::Ended | ProbeState::Blocked) {
            return;
        }
        self.state = self.probe.feed(bytes);
        let held = broker.handle().memory_used();
        assert!(held <= MEMORY_LIMIT + MEMORY_SLACK, "{held} bytes are held");
        self.take();
    }

    fn take(&mut self) {
        self.output.extend(self.probe.take_output());
        // What did not fit before may follow now.
        for _ in 0..64 {
            if self.state != ProbeState::Congested {
                break;
            }
            self.state = self.probe.feed(&[]);
            self.output.extend(self.probe.take_output());
        }
        // Nobody looks at more than this, and a fuzzer's memory is limited too.
        if self.output.len() > 1 << 20 {
            assert_whole_frames(&self.output);
            self.output.clear();
        }
    }
}

/// Splits records into frames: an octet for the frame's type, one for client (high bit) and channel (low two), two for the
/// length of the payload, then that.
fn records(mut rest: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [kind, place, high, low, tail @ ..] = rest {
        let size = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len());
        let (payload, next) = tail.split_at(size);
        let kind = [1, 2, 3, 8][usize::from(*kind) % 4];
        frames.push((usize::from(place >> 7), frame(kind, u16::from(place & 3), payload)));
        rest = next;
    }
    frames
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend(channel.to_be_bytes());
    out.extend((payload.len() as u32).to_be_bytes());
    out.extend(payload);
    out.push(END);
    out
}

/// The header, start-ok, tune-ok, open, and channels 1 to 3 opened.
fn login() -> Vec<u8> {
    let start_ok = b"\x00\x0a\x00\x0b\x00\x00\x00\x00\x05PLAIN\x00\x00\x00\x0c\x00guest\x00guest\x05en_US";
    let tune_ok = b"\x00\x0a\x00\x1f\x07\xff\x00\x02\x00\x00\x00\x00";
    let open = b"\x00\x0a\x00\x28\x01/\x00\x00";
    let mut out = PROTOCOL_HEADER.to_vec();
    for method in [&start_ok[..], tune_ok, open] {
        out.extend(frame(1, 0, method));
    }
    for channel in 1..=3 {
        out.extend(frame(1, channel, b"\x00\x14\x00\x0a\x00"));
    }
    out
}

/// # Panics
/// When `output` is not frame after frame; a client of another protocol is shown the header instead.
fn assert_whole_frames(output: &[u8]) {
    let mut rest = output;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(PROTOCOL_HEADER) {
            rest = after;
            continue;
        }
        let Some(head) = rest.first_chunk::<7>() else {
            panic!("a frame is cut short: {rest:?}");
        };
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        assert!(size <= 131_064, "a frame of {size} octets");
        assert_eq!(rest.get(7 + size), Some(&END), "a frame does not end where it should");
        rest = &rest[size + 8..];
    }
}

/// Logs in as another client would.
fn bystander_is_served(broker: &ProbeBroker) {
    let mut bystander = Client::new(broker);
    bystander.feed(broker, &login());
    assert_eq!(bystander.state, ProbeState::Reading);
    assert_whole_frames(&bystander.output);
    // channel.open-ok on channel 3 is the last answer.
    let open_ok = frame(1, 3, b"\x00\x14\x00\x0b\x00\x00\x00\x00");
    assert!(bystander.output.ends_with(&open_ok), "{:?}", bystander.output);
}

//! What the driver does for each order or message beside the broker's client: recording, the ledger, the schedule, bodies.
//!
//! These costs bound the rate that the driver can offer before it measures itself. `cargo bench --bench hot_path`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use orderstorm::arrival::Schedule;
use orderstorm::events::{Event, Stage};
use orderstorm::ledger::{Ledger, PublishFate};
use orderstorm::measure::{Board, Recorder, Series};
use orderstorm::orders::Order;
use orderstorm::units::{Rate, Share, Size, Span};
use orderstorm::wire::message::{Encoder, OrderIds, decode};
use orderstorm::workload::model::{Arrival, Jitter, Load, Orders, Pattern, Shape, Until};

/// What a completed order publishes on the order exchange, each event after its cause.
const COMPLETED: [Event; 10] = [
    Event::OrderCreated,
    Event::InventoryReserved,
    Event::PaymentSuccess,
    Event::InventoryCommitted,
    Event::OrderPaid,
    Event::ShippingPrepared,
    Event::OrderShipped,
    Event::CustomerConfirmed,
    Event::ShippingDelivered,
    Event::OrderCompleted,
];

/// Latencies as they come: spread over three decades, in no order.
fn latencies() -> impl Iterator<Item = u64> {
    (0u64..).map(|i| 50_000 + i.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 50_000_000)
}

fn recording(c: &mut Criterion) {
    c.bench_function("recorder/record", |b| {
        let (mut recorder, mut values) = (Recorder::default(), latencies());
        b.iter(|| recorder.record(black_box(values.next().unwrap_or_default())));
    });
    c.bench_function("board/record", |b| {
        let (board, mut values) = (Board::default(), latencies());
        b.iter(|| board.record(Series::EndToEnd, black_box(values.next().unwrap_or_default())));
    });
}

/// Everything that the ledger is told about an order that is completed: one placing, one answer, ten events, 31 deliveries.
fn book_completed_order(ledger: &Ledger, number: u64) {
    ledger.placed(number, 1, 2, 999);
    ledger.answered(number, PublishFate::Confirmed);
    for event in COMPLETED {
        if event != Event::OrderCreated {
            ledger.attempted(number, event);
        }
        for stage in Stage::ALL {
            if stage.consumes().contains(&event) {
                ledger.delivered(number, stage, false);
                ledger.effect(number, stage, event);
            }
        }
        ledger.emitted(number, event, 3);
    }
}

fn ledger(c: &mut Criterion) {
    let check = Ledger::new(10, None);
    book_completed_order(&check, 0);
    assert!(check.is_closed(0), "a completed order is folded into the counts");
    c.bench_function("ledger/completed_order", |b| {
        let (ledger, mut number) = (Ledger::new(10, None), 0);
        b.iter(|| {
            book_completed_order(&ledger, black_box(number));
            number += 1;
        });
    });
}

fn schedules(c: &mut Criterion) {
    let rate = Rate(1_000.0);
    let open = |shape, jitter| Arrival::Open(Pattern { shape, jitter });
    let (burst_rate, width, every) = (Rate(10_000.0), Span::from_millis(100), Span::from_secs(1));
    let arrivals = [
        ("constant", Arrival::constant(rate)),
        ("poisson", Arrival::poisson(rate)),
        (
            "burst",
            open(
                Shape::Burst {
                    rate,
                    burst_rate,
                    width,
                    every,
                },
                Jitter::None,
            ),
        ),
        (
            "sine/poisson",
            open(
                Shape::Sine {
                    mean: rate,
                    amplitude: Rate(900.0),
                    period: Span::from_secs(60),
                },
                Jitter::Poisson,
            ),
        ),
    ];
    for (name, arrival) in arrivals {
        let load = Load {
            arrival,
            until: Until::Orders(u64::MAX),
            warm_up: Span::ZERO,
            connections: 1,
            confirm_window: None,
        };
        c.bench_function(&format!("schedule/next/{name}"), |b| {
            let mut schedule = Schedule::new(&load, 42).expect("an open loop has a schedule");
            b.iter(|| schedule.next());
        });
    }
}

fn orders() -> Orders {
    Orders {
        items: 10,
        stock_per_item: None,
        lines_max: 3,
        quantity_max: 2,
        payment_decline: Share(0.02),
        body_size: Size(0),
        urgent: Share(0.0),
        urgent_priority: 1,
    }
}

fn messages(c: &mut Criterion) {
    let settings = orders();
    c.bench_function("order/draw", |b| {
        let mut number = 0;
        b.iter(|| {
            number += 1;
            Order::draw(42, black_box(number), &settings)
        });
    });
    let encoder = Encoder::new(OrderIds::new("ab12-1"), 0);
    let order = Order::draw(42, 7, &settings);
    let created = encoder.order_created(&order, 1_000_000, 1_000_500);
    let cause = decode(encoder.ids(), &created).expect("a body of our own");
    let next = encoder.event(Event::InventoryReserved, &cause, 2_000_000);
    c.bench_function("message/encode/order_created", |b| {
        b.iter(|| encoder.order_created(black_box(&order), 1_000_000, 1_000_500));
    });
    c.bench_function("message/encode/event", |b| {
        b.iter(|| encoder.event(Event::InventoryReserved, black_box(&cause), 2_000_000));
    });
    let padded = Encoder::new(OrderIds::new("ab12-1"), 4096);
    c.bench_function("message/encode/event_4KiB", |b| {
        b.iter(|| padded.event(Event::InventoryReserved, black_box(&cause), 2_000_000));
    });
    for (name, body) in [("order_created", &created), ("event", &next)] {
        c.bench_function(&format!("message/decode/{name}"), |b| {
            b.iter(|| decode(encoder.ids(), black_box(body)).is_ok());
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = recording, ledger, schedules, messages
}
criterion_main!(benches);

//! `orders.*`: what is in an order, and what there is to sell.

use orderstorm::ledger::Verdict;

use crate::support::drive::{run_alone, start};
use crate::support::spy::Spy;
use crate::support::stand::Stand;

const LOAD: [&str; 2] = ["load.orders=40", "load.rate=200/s"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_and_items_bound_what_can_be_sold() {
    let sold = async |items: u32, stock: &str| {
        let (items, stock) = (
            format!("orders.items={items}"),
            format!("orders.stock_per_item={stock}"),
        );
        let done = run_alone(&[&LOAD[..], &[&items, "orders.lines_max=1", &stock]].concat()).await;
        let ledger = &done.trial().ledger;
        assert_eq!(done.promise("stock_balances").verdict, Verdict::Pass);
        assert_eq!(ledger.fates.completed + ledger.fates.cancelled_out_of_stock, 40);
        (ledger.stock.sold, ledger.fates.cancelled_out_of_stock)
    };
    let (one, short) = sold(1, "10").await;
    assert!(
        one <= 10 && short >= 30,
        "{one} pieces sold of 10, {short} orders out of stock"
    );
    let (three, _) = sold(3, "10").await;
    assert!(three > one && three <= 30, "{three} pieces sold of 30");
    let (all, short) = sold(1, "unlimited").await;
    assert!(all >= 40 && short == 0, "{all} pieces sold of as many as one likes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_and_quantities_say_how_many_pieces_are_sold() {
    let pieces = async |lines: u32, quantity: u32| {
        let (lines, quantity) = (
            format!("orders.lines_max={lines}"),
            format!("orders.quantity_max={quantity}"),
        );
        let done = run_alone(&[&LOAD[..], &[&lines, &quantity]].concat()).await;
        done.trial().ledger.stock.sold
    };
    assert_eq!(pieces(1, 1).await, 40);
    let lines = pieces(5, 1).await;
    assert!((80..=160).contains(&lines), "{lines} lines in 40 orders of 1 to 5");
    let quantities = pieces(1, 5).await;
    assert!(
        (80..=160).contains(&quantities),
        "{quantities} pieces in 40 orders of 1 to 5"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn declined_payments_cancel_their_share_of_the_orders() {
    for (share, declined) in [("0%", 0..=0), ("50%", 10..=30), ("100%", 40..=40)] {
        let setting = format!("orders.payment_decline={share}");
        let done = run_alone(&[&LOAD[..], &[&setting]].concat()).await;
        let ledger = &done.trial().ledger;
        assert!(
            declined.contains(&ledger.fates.cancelled_payment_declined),
            "{share}: {:?}",
            ledger.fates
        );
        assert_eq!(ledger.fates.completed + ledger.fates.cancelled_payment_declined, 40);
        assert_eq!(ledger.stock.reserved, 0, "what was not paid went back");
        assert_eq!(done.trial().verdict, Verdict::Pass);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_as_large_as_asked_for_on_the_wire() {
    for (size, bytes) in [("0B", 50..600), ("2000B", 2000..2002), ("64KiB", 65_536..65_538)] {
        let stand = Stand::start().await;
        let setting = format!("orders.body_size={size}");
        let running = start(&stand, &["load.orders=20", "load.rate=100/s", &setting]);
        let spy = Spy::connect(stand.uri()).await;
        let mut copies = spy.copies(&running.prefix().await, "#").await;
        for copy in copies.take(40).await {
            assert!(bytes.contains(&copy.data.len()), "{size}: {} bytes", copy.data.len());
        }
        assert_eq!(running.done().await.trial().ledger.fates.completed, 20);
    }
}

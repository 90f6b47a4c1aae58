//! Lists and variants on the command line: what a plan shows, and what is refused.

use crate::support::program::say;
use crate::{results, text, workload};

const SWEEP: &str = "# Which prefetch?\n[load]\nrate = \"100/s\"\nduration = \"2s\"\n[stage.payment]\nprefetch = [1, 10]\nack_batch = [1, 5]\n\
    [trial]\nrepeats = 3\n[[matrix.exclude]]\nstage.payment.prefetch = 1\nstage.payment.ack_batch = 5\n";

#[test]
fn check_shows_dimensions_cells_and_what_they_share() {
    let dir = results();
    let file = workload(&dir, "sweep.toml", SWEEP);
    let said = say(&["check", text(&file)]);
    said.says(&[
        "3 cells × 3 repeats = 9 trials",
        "about 1,800 orders",
        "varied: stage.payment.prefetch = 1, 10",
        "varied: stage.payment.ack_batch = 1, 5",
        "cell prefetch 10 · ack_batch 5\n    stage.payment.prefetch = 10  # file\n    stage.payment.ack_batch = 5  # file\n",
        "in every cell\n",
        "trial.cool_down = \"1s\"\n",
    ]);
    assert_eq!(
        said.out.matches("load.rate =").count(),
        1,
        "what is shared is shown once"
    );
    let collapsed = say(&[
        "check",
        text(&file),
        "--set",
        "stage.payment.prefetch=10",
        "--set",
        "load.rate=[5/s,9/s]",
    ]);
    collapsed.says(&[
        "4 cells × 3 repeats",
        "cell rate 5/s · ack_batch 1",
        "load.rate = \"9/s\"  # --set",
    ]);
}

#[test]
fn wrong_lists_and_variants_are_mistakes_with_their_places() {
    let dir = results();
    for (name, content, parts) in [
        (
            "empty.toml",
            "load.rate = []\n",
            &["empty.toml:1:13", "an empty list"][..],
        ),
        (
            "nested.toml",
            "stage.audit.prefetch = [1, [2]]\n",
            &["nested.toml:1:28", "a list within a list"],
        ),
        (
            "twice.toml",
            "stage.audit.prefetch = [1, 2, 1]\n",
            &["twice.toml:1:31", "stands in the list already, at position 1"],
        ),
        (
            "unknown.toml",
            "[[variants.size]]\nname = \"a\"\nstage.audti.prefetch = 3\n",
            &["unknown.toml:3:7", "unknown key `stage.audti"],
        ),
        (
            "cell.toml",
            "stage.audit.prefetch = [1, 10]\nstage.audit.concurrency = [1, 4]\n",
            &[
                "cell.toml:2:31",
                "in the cell `prefetch 1 · concurrency 4`",
                "help: raise stage.audit.prefetch",
            ],
        ),
        (
            "many.toml",
            "stage.audit.prefetch = [1, 2, 3]\ntrial.repeats = 400\n",
            &[
                "many.toml:1:13",
                "3 cells (3 values of prefetch), 400 times each; a run has at most 1000 trials",
                "trial.repeats",
            ],
        ),
    ] {
        let file = workload(&dir, name, content);
        let made = dir.path().join("made");
        let said = say(&["run", text(&file), "--broker", "embedded", "--results", text(&made)]);
        said.fails(2, parts).fails(2, &["1 mistake; nothing was touched"]);
        assert!(!made.exists());
    }
    say(&["check", "quickstart", "--set", "load.rate=[5/s, x]"]).fails(2, &["--set:1:17"]);
    say(&["check", "quickstart", "--set", "variants.size=small"]).fails(2, &["the workload has no variants"]);
}

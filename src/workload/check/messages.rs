//! What the load publishes beside sound orders.

use super::Builder;
use crate::units::Size;
use crate::workload::model::{BadKind, BadMessages, Orders, Publish};

impl Builder<'_> {
    pub(super) fn messages(&mut self, orders: &Orders, publish: &Publish) -> BadMessages {
        let share = |kind: BadKind| self.share(&format!("messages.{}", kind.name())).unwrap_or_default();
        let messages = BadMessages {
            duplicates: self.share("messages.duplicates").unwrap_or_default(),
            bad: BadKind::ALL.map(share),
            size_limit: self.size("messages.size_limit").unwrap_or_default(),
        };
        match messages.body_max() {
            None => self.refuse_written(
                "messages.size_limit",
                "`messages.size_limit` has no effect without oversize messages",
                "set messages.oversize, for example to \"1%\"",
            ),
            Some(limit) if orders.body_size.0.saturating_add(SOUND_BODY_MAX) > limit => self.refuse(
                &["messages.size_limit", "orders.body_size"],
                format!(
                    "a sound body may be of {} and more, which is above what the stages take ({})",
                    Size(orders.body_size.0.max(SOUND_BODY_MAX)),
                    messages.size_limit
                ),
                "raise messages.size_limit, or lower orders.body_size",
            ),
            Some(_) => {}
        }
        if messages.share(BadKind::Unroutable).0 > 0.0 && !publish.confirms && publish.mandatory {
            self.refuse(
                &["messages.unroutable", "publish.confirms"],
                "without publisher confirms nobody waits for what comes back",
                "set publish.confirms = true, or leave messages.unroutable out",
            );
        }
        messages
    }
}

/// No sound body is larger unless it is padded: 100 lines of the largest numbers.
const SOUND_BODY_MAX: u64 = 8 << 10;

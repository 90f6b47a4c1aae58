//! A connection that is opened anew after it was lost, and a publisher that follows it.
//!
//! One attempt at a time, however many ask; the pauses between attempts are each asker's own ([`super::Backoff`]). What was
//! unanswered on the old connection stays unknown: nothing is sent again here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::backoff::Backoff;
use super::connection::Connection;
use super::connector::{AmqpError, Connector};
use super::meter::PublishMeter;
use super::publish::Publisher;
use crate::clock::Clock;
use crate::workload::model::Publish;

/// A connection under a name, whichever it is at the moment.
#[derive(Debug)]
pub struct Renewable {
    connector: Connector,
    name: String,
    current: Mutex<Arc<Connection>>,
    /// Held while somebody connects.
    renewing: tokio::sync::Mutex<()>,
}

impl Renewable {
    /// Connects for the first time.
    ///
    /// # Errors
    /// As [`Connector::connect`].
    pub async fn connect(connector: &Connector, name: &str) -> Result<Arc<Self>, AmqpError> {
        let link = connector.connect_renewable(name).await?;
        Ok(Arc::new(Renewable {
            connector: connector.clone(),
            name: name.to_owned(),
            current: Mutex::new(Arc::new(link)),
            renewing: tokio::sync::Mutex::default(),
        }))
    }

    /// The connection as it is, lost or not.
    pub fn current(&self) -> Arc<Connection> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The connection, opened anew if it was lost: one attempt.
    ///
    /// # Errors
    /// As [`Connector::connect`].
    ///
    /// # Cancel safety
    /// Safe; a connection that was half open is dropped.
    pub async fn link(&self) -> Result<Arc<Connection>, AmqpError> {
        let _renewing = self.renewing.lock().await;
        let current = self.current();
        if !current.is_lost() {
            return Ok(current);
        }
        let link = Arc::new(self.connector.connect_renewable(&self.name).await?);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&link);
        self.connector.incidents().restored(&self.name);
        Ok(link)
    }

    /// The attempts to get it back are given up: the trial ends.
    pub fn give_up(&self, last: &AmqpError) {
        self.connector.incidents().lose(
            &self.name,
            &format!("it did not come back in time; the last attempt: {last}"),
        );
    }

    /// Closes the connection; an error means that it was closed already.
    pub async fn close(&self) {
        self.current().close().await;
    }
}

/// Tries until it works or the time for that is over; the first attempt comes after the first pause.
///
/// # Errors
/// That of the last attempt.
pub async fn persist<T, A>(backoff: &mut Backoff, clock: Clock, mut attempt: impl FnMut() -> A) -> Result<T, AmqpError>
where
    A: Future<Output = Result<T, AmqpError>>,
{
    let mut failed = AmqpError::NoAnswer {
        doing: "reconnect".to_owned(),
        after: Duration::ZERO,
    };
    while let Some(pause) = backoff.next(clock.now()) {
        tokio::time::sleep(Duration::from_nanos(pause)).await;
        match attempt().await {
            Ok(done) => {
                backoff.reset();
                return Ok(done);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// A publisher's channel on a renewable connection.
#[derive(Debug)]
pub struct RenewablePublisher {
    line: Arc<Renewable>,
    settings: Publish,
    meter: Arc<PublishMeter>,
    current: Mutex<Publisher>,
    renewing: tokio::sync::Mutex<()>,
}

impl RenewablePublisher {
    /// Opens the channel for the first time.
    ///
    /// # Errors
    /// As [`Publisher::open`].
    pub async fn open(line: &Arc<Renewable>, settings: &Publish, meter: Arc<PublishMeter>) -> Result<Self, AmqpError> {
        let publisher = Publisher::open(&*line.link().await?, settings, Arc::clone(&meter)).await?;
        Ok(RenewablePublisher {
            line: Arc::clone(line),
            settings: settings.clone(),
            meter,
            current: Mutex::new(publisher),
            renewing: tokio::sync::Mutex::default(),
        })
    }

    /// Its connection.
    pub fn line(&self) -> &Arc<Renewable> {
        &self.line
    }

    /// The publisher as it is, lost or not.
    pub fn current(&self) -> Publisher {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The publisher, on a new channel and if need be a new connection: one attempt.
    ///
    /// # Errors
    /// As [`Renewable::link`] and [`Publisher::open`].
    pub async fn renewed(&self) -> Result<Publisher, AmqpError> {
        let _renewing = self.renewing.lock().await;
        let current = self.current();
        if !current.is_lost() && !self.line.current().is_lost() {
            return Ok(current);
        }
        let publisher = Publisher::open(&*self.line.link().await?, &self.settings, Arc::clone(&self.meter)).await?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = publisher.clone();
        Ok(publisher)
    }
}

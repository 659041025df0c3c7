//! What can fail on the social plane.

use app::ports::Failure;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;

/// The social plane did not do it.
#[derive(Debug, thiserror::Error)]
pub enum FirehoseError {
    /// The table did not answer, or refused.
    #[error("the firehose failed at: {doing}")]
    Store {
        /// What was being done.
        doing: &'static str,
        /// What the SDK says.
        source: Box<aws_sdk_dynamodb::Error>,
    },
    /// The stream did not answer, or refused.
    #[error("the firehose's stream failed at: {doing}")]
    Stream {
        /// What was being done.
        doing: &'static str,
        /// What the SDK says.
        source: Box<aws_sdk_dynamodbstreams::Error>,
    },
    /// A request could not be put together.
    #[error("a request to the firehose is incomplete")]
    Request(#[from] Box<aws_sdk_dynamodb::error::BuildError>),
    /// An item is not what this version writes.
    #[error("an item of the firehose cannot be read: {what}")]
    Unreadable {
        /// Which part.
        what: &'static str,
    },
    /// It was to be written together with others, and that failed; why was logged there.
    #[error("the firehose failed at: {doing}")]
    NotWritten {
        /// What was being done.
        doing: &'static str,
    },
    /// The table gave a part of what was asked for, again and again.
    #[error("the firehose gave only a part at: {doing}")]
    NotRead {
        /// What was being done.
        doing: &'static str,
    },
    /// The table failed several times in a row and is left alone for a moment; nothing was sent.
    #[error("the firehose is left alone for a moment")]
    Resting,
    /// A value cannot be written as JSON.
    #[error("a value cannot be encoded for the firehose")]
    Encode(#[source] serde_json::Error),
    /// The table exists without a stream of new images, or never became active.
    #[error("the firehose's table is not usable: {why}")]
    Table {
        /// Why not.
        why: &'static str,
    },
}

impl FirehoseError {
    /// Turns an SDK error into one that says what was being done.
    pub(super) fn store<E>(doing: &'static str) -> impl FnOnce(E) -> Self
    where
        aws_sdk_dynamodb::Error: From<E>,
    {
        move |source| Self::Store {
            doing,
            source: Box::new(source.into()),
        }
    }

    /// The same for the stream.
    pub(super) fn stream<E>(doing: &'static str) -> impl FnOnce(E) -> Self
    where
        aws_sdk_dynamodbstreams::Error: From<E>,
    {
        move |source| Self::Stream {
            doing,
            source: Box::new(source.into()),
        }
    }

    /// Whether the same thing will fail again however often it is tried: the store finds it too large
    /// or malformed, or it cannot be written at all.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Store { source, .. } => matches!(
                source.code(),
                Some("ValidationException" | "ItemCollectionSizeLimitExceededException")
            ),
            Self::Request(_) | Self::Encode(_) => true,
            Self::Stream { .. }
            | Self::Unreadable { .. }
            | Self::Table { .. }
            | Self::NotWritten { .. }
            | Self::NotRead { .. }
            | Self::Resting => false,
        }
    }

    /// What a page is told; the details are logged here, once.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        if matches!(self, Self::Resting) {
            // What led to it was logged; this may come often.
            return Failure::Unavailable;
        }
        let cause = std::error::Error::source(&self).map(ToString::to_string);
        tracing::warn!(error = %self, cause, "firehose");
        Failure::Unavailable
    }
}

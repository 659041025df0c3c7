//! The table itself.

use super::keys::{AMOUNT, BOARD, EXPIRES_AT, PK, SK};
use super::{Firehose, FirehoseError};
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, CreateGlobalSecondaryIndexAction, GlobalSecondaryIndex,
    GlobalSecondaryIndexUpdate, IndexStatus, KeySchemaElement, KeyType, Projection, ProjectionType,
    ScalarAttributeType, StreamSpecification, StreamViewType, TableDescription, TableStatus,
    TimeToLiveSpecification, TimeToLiveStatus,
};
use std::time::Duration;

/// The index that orders leaderboards: only their items have its keys.
pub(super) const BY_AMOUNT: &str = "by_amount";

/// How often a table in the making is looked at.
const WAIT: Duration = Duration::from_millis(100);

/// How often in all: 60 s, six times what `DynamoDB` usually takes.
const MAX_WAITS: u32 = 600;

impl Firehose {
    /// Makes the table if there is none and waits until it can be used. Several nodes may do this
    /// at once.
    pub async fn ensure_table(&self) -> Result<(), FirehoseError> {
        if self.describe().await?.is_none() {
            self.create().await?;
        }
        let described = self.wait_until_active().await?;
        let streams = described.stream_specification().is_some_and(|stream| {
            let images = stream.stream_view_type();
            let new = [StreamViewType::NewImage, StreamViewType::NewAndOldImages];
            stream.stream_enabled() && images.is_some_and(|view| new.contains(view))
        });
        if !streams {
            return Err(FirehoseError::Table {
                why: "it has no stream of new images",
            });
        }
        if !has_index(&described) {
            self.create_index().await?;
        }
        self.wait_for_index().await?;
        self.ensure_expiry().await
    }

    /// Adds the index to a table of an earlier version.
    async fn create_index(&self) -> Result<(), FirehoseError> {
        let index = CreateGlobalSecondaryIndexAction::builder()
            .index_name(BY_AMOUNT)
            .key_schema(key(BOARD, KeyType::Hash)?)
            .key_schema(key(AMOUNT, KeyType::Range)?)
            .projection(everything());
        let index = index.build().map_err(Box::new)?;
        let sent = self
            .dynamo
            .update_table()
            .table_name(self.table())
            .attribute_definitions(attribute(BOARD, ScalarAttributeType::S)?)
            .attribute_definitions(attribute(AMOUNT, ScalarAttributeType::N)?)
            .global_secondary_index_updates(
                GlobalSecondaryIndexUpdate::builder().create(index).build(),
            )
            .send()
            .await;
        match sent {
            Ok(_begun) => Ok(()),
            // Another node may have been faster; if not, waiting for the index will tell.
            Err(error) => {
                tracing::warn!(%error, "the index of leaderboards was not begun here");
                Ok(())
            }
        }
    }

    async fn wait_for_index(&self) -> Result<(), FirehoseError> {
        for _wait in 0..MAX_WAITS {
            let described = self.describe().await?;
            let active = described.is_some_and(|table| {
                let mut indexes = table.global_secondary_indexes().iter();
                indexes.any(|index| {
                    index.index_name() == Some(BY_AMOUNT)
                        && index.index_status() == Some(&IndexStatus::Active)
                })
            });
            if active {
                return Ok(());
            }
            tokio::time::sleep(WAIT).await;
        }
        Err(FirehoseError::Table {
            why: "its index did not become active",
        })
    }

    async fn describe(&self) -> Result<Option<TableDescription>, FirehoseError> {
        let sent = self.dynamo.describe_table().table_name(self.table());
        match sent.send().await {
            Ok(answer) => Ok(answer.table),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DescribeTableError::is_resource_not_found_exception) =>
            {
                Ok(None)
            }
            Err(error) => Err(FirehoseError::store("describe the table")(error)),
        }
    }

    async fn create(&self) -> Result<(), FirehoseError> {
        let stream = StreamSpecification::builder()
            .stream_enabled(true)
            .stream_view_type(StreamViewType::NewImage)
            .build()
            .map_err(Box::new)?;
        let index = GlobalSecondaryIndex::builder()
            .index_name(BY_AMOUNT)
            .key_schema(key(BOARD, KeyType::Hash)?)
            .key_schema(key(AMOUNT, KeyType::Range)?)
            .projection(everything());
        let index = index.build().map_err(Box::new)?;
        let sent = self
            .dynamo
            .create_table()
            .table_name(self.table())
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(attribute(PK, ScalarAttributeType::S)?)
            .attribute_definitions(attribute(SK, ScalarAttributeType::S)?)
            .attribute_definitions(attribute(BOARD, ScalarAttributeType::S)?)
            .attribute_definitions(attribute(AMOUNT, ScalarAttributeType::N)?)
            .key_schema(key(PK, KeyType::Hash)?)
            .key_schema(key(SK, KeyType::Range)?)
            .global_secondary_indexes(index)
            .stream_specification(stream)
            .send()
            .await;
        match sent {
            Ok(_created) => Ok(()),
            // Another node was faster.
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(CreateTableError::is_resource_in_use_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(FirehoseError::store("create the table")(error)),
        }
    }

    async fn wait_until_active(&self) -> Result<TableDescription, FirehoseError> {
        for _wait in 0..MAX_WAITS {
            let described = self.describe().await?;
            let active = described.filter(|t| t.table_status() == Some(&TableStatus::Active));
            if let Some(table) = active {
                return Ok(table);
            }
            tokio::time::sleep(WAIT).await;
        }
        Err(FirehoseError::Table {
            why: "it did not become active",
        })
    }

    async fn ensure_expiry(&self) -> Result<(), FirehoseError> {
        let described = self.dynamo.describe_time_to_live().table_name(self.table());
        let described = described
            .send()
            .await
            .map_err(FirehoseError::store("read the time to live"))?;
        let on = [TimeToLiveStatus::Enabled, TimeToLiveStatus::Enabling];
        let status = described
            .time_to_live_description()
            .and_then(|ttl| ttl.time_to_live_status());
        if status.is_some_and(|status| on.contains(status)) {
            return Ok(());
        }
        let expiry = TimeToLiveSpecification::builder()
            .attribute_name(EXPIRES_AT)
            .enabled(true)
            .build()
            .map_err(Box::new)?;
        let sent = self
            .dynamo
            .update_time_to_live()
            .table_name(self.table())
            .time_to_live_specification(expiry)
            .send()
            .await;
        if let Err(error) = sent {
            // Another node may have switched it on meanwhile; and old items are harmless.
            tracing::warn!(%error, "time to live was not switched on");
        }
        Ok(())
    }
}

fn has_index(table: &TableDescription) -> bool {
    let mut indexes = table.global_secondary_indexes().iter();
    indexes.any(|index| index.index_name() == Some(BY_AMOUNT))
}

fn everything() -> Projection {
    Projection::builder()
        .projection_type(ProjectionType::All)
        .build()
}

fn attribute(name: &str, kind: ScalarAttributeType) -> Result<AttributeDefinition, FirehoseError> {
    let attribute = AttributeDefinition::builder()
        .attribute_name(name)
        .attribute_type(kind);
    Ok(attribute.build().map_err(Box::new)?)
}

fn key(name: &str, kind: KeyType) -> Result<KeySchemaElement, FirehoseError> {
    let key = KeySchemaElement::builder()
        .attribute_name(name)
        .key_type(kind);
    Ok(key.build().map_err(Box::new)?)
}

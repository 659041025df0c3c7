//! The embedded DynamoDB through the AWS SDK: what is written is there after a restart, the stream
//! tells of it, and expired items go by themselves.
#![cfg(feature = "local")]

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType, StreamSpecification, StreamViewType, TimeToLiveSpecification,
};
use aws_sdk_dynamodbstreams::types::ShardIteratorType;
use server::local::{Attached, attach_with};
use std::path::Path;
use std::time::{Duration, Instant};

const TABLE: &str = "marks";

fn client(stores: &Attached) -> Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "local"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(&stores.dynamodb_endpoint)
        .build();
    Client::from_conf(config)
}

async fn make_table(client: &Client) {
    let stream = StreamSpecification::builder()
        .stream_enabled(true)
        .stream_view_type(StreamViewType::NewImage);
    let attribute = AttributeDefinition::builder()
        .attribute_name("pk")
        .attribute_type(ScalarAttributeType::S);
    let key = KeySchemaElement::builder()
        .attribute_name("pk")
        .key_type(KeyType::Hash);
    client
        .create_table()
        .table_name(TABLE)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute.build().expect("complete"))
        .key_schema(key.build().expect("complete"))
        .stream_specification(stream.build().expect("complete"))
        .send()
        .await
        .expect("a table");
    let ttl = TimeToLiveSpecification::builder()
        .attribute_name("expires")
        .enabled(true);
    client
        .update_time_to_live()
        .table_name(TABLE)
        .time_to_live_specification(ttl.build().expect("complete"))
        .send()
        .await
        .expect("a time to live");
}

async fn put(client: &Client, pk: &str, expires: &str) {
    client
        .put_item()
        .table_name(TABLE)
        .item("pk", AttributeValue::S(pk.to_owned()))
        .item("expires", AttributeValue::N(expires.to_owned()))
        .send()
        .await
        .expect("put");
}

async fn is_there(client: &Client, pk: &str) -> bool {
    let got = client
        .get_item()
        .table_name(TABLE)
        .key("pk", AttributeValue::S(pk.to_owned()))
        .send()
        .await
        .expect("get");
    got.item.is_some()
}

/// How many records the stream has from its beginning.
async fn records(client: &Client, stores: &Attached) -> usize {
    let config = aws_sdk_dynamodbstreams::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "local"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(&stores.dynamodb_endpoint)
        .build();
    let streams = aws_sdk_dynamodbstreams::Client::from_conf(config);
    let table = client.describe_table().table_name(TABLE).send().await;
    let table = table.expect("described").table.expect("a table");
    let arn = table.latest_stream_arn.expect("a stream");
    let described = streams.describe_stream().stream_arn(&arn).send().await;
    let shards = described
        .expect("described")
        .stream_description
        .expect("a stream");
    let shard = shards.shards.expect("shards")[0]
        .shard_id
        .clone()
        .expect("an id");
    let iterator = streams
        .get_shard_iterator()
        .stream_arn(&arn)
        .shard_id(shard)
        .shard_iterator_type(ShardIteratorType::TrimHorizon)
        .send()
        .await
        .expect("an iterator")
        .shard_iterator
        .expect("an iterator");
    let got = streams.get_records().shard_iterator(iterator).send().await;
    got.expect("records").records.unwrap_or_default().len()
}

#[tokio::test]
async fn items_and_their_stream_outlive_the_stores_and_expired_ones_go() {
    let program = Path::new(env!("CARGO_BIN_EXE_lotzero"));
    let data = tempfile::tempdir().expect("a folder");
    let stores = attach_with(program, data.path()).await.expect("attach");
    let dynamodb = client(&stores);
    make_table(&dynamodb).await;
    put(&dynamodb, "kept", "9999999999").await;
    assert_eq!(records(&dynamodb, &stores).await, 1);
    assert!(stores.close().await);

    let stores = attach_with(program, data.path()).await.expect("attach");
    let dynamodb = client(&stores);
    assert!(is_there(&dynamodb, "kept").await);
    assert_eq!(
        records(&dynamodb, &stores).await,
        1,
        "the stream is kept too"
    );

    put(&dynamodb, "expired", "1700000000").await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while is_there(&dynamodb, "expired").await {
        assert!(Instant::now() < deadline, "the sweep does not come");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(is_there(&dynamodb, "kept").await);
    assert_eq!(records(&dynamodb, &stores).await, 3, "put, put, removal");
    assert!(stores.close().await);
}

/// Items that are written before the last ones are timed, and how many are timed.
const MANY: usize = 6_000;
const TIMED: usize = 40;

/// A write asks for the stream's last number. Without an index that is a look at every record that
/// the stream ever had, and the house is slower each hour.
#[tokio::test]
async fn a_write_is_as_fast_after_thousands_of_others() {
    let program = Path::new(env!("CARGO_BIN_EXE_lotzero"));
    let data = tempfile::tempdir().expect("a folder");
    let stores = attach_with(program, data.path()).await.expect("attach");
    let dynamodb = client(&stores);
    make_table(&dynamodb).await;
    let text = "x".repeat(2_000);
    let put = async |n: usize| {
        let begun = Instant::now();
        let put = dynamodb.put_item().table_name(TABLE);
        let put = put.item("pk", AttributeValue::S(n.to_string()));
        let put = put.item("text", AttributeValue::S(text.clone()));
        put.send().await.expect("puts");
        begun.elapsed()
    };
    let mut times = Vec::new();
    for n in 0..MANY {
        times.push(put(n).await);
    }
    let median = |times: &[Duration]| {
        let mut times = times.to_vec();
        times.sort_unstable();
        times[times.len() / 2]
    };
    // Beyond what only the first writes cost.
    let first = median(&times[TIMED..2 * TIMED]);
    let last = median(&times[MANY - TIMED..]);
    println!("a write took {first:?} at first and {last:?} after {MANY}");
    assert!(last < first * 3, "{first:?}, then {last:?}");
    assert!(stores.close().await);
}

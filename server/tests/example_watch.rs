//! The example client against a house: it misses nothing over a cut, hears nothing twice, and ends
//! with the lot.

#[path = "support/house.rs"]
mod house;
#[path = "support/store.rs"]
mod store;
#[path = "../examples/watch.rs"]
#[expect(dead_code, reason = "its main is the program's")]
mod watch;

use house::{House, PATIENCE, lot_event, money, person};
use server::events::{EventBody, HouseEvent};
use shared::live::LotEvent;
use shared::view::{LadderLine, Reserve};
use shared::{LotId, Region, Timestamp};
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch as signal};
use tokio::time::timeout;
use watch::Watch;

/// A wire to the house that can be cut.
struct Wire {
    address: SocketAddr,
    cut: signal::Sender<u32>,
}

async fn wire(to: SocketAddr) -> Wire {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (cut, cuts) = signal::channel(0);
    tokio::spawn(async move {
        while let Ok((mut near, _from)) = listener.accept().await {
            let mut cuts = cuts.clone();
            cuts.mark_unchanged();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(to).await.expect("the house");
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    _ = cuts.changed() => {}
                }
            });
        }
    });
    Wire { address, cut }
}

fn bid(lot: LotId, offset: i64) -> HouseEvent {
    let mut event = lot_event(lot, offset);
    if let EventBody::Lot { event: what, .. } = &mut event.body {
        *what = LotEvent::Bid {
            line: LadderLine {
                id: offset.to_string(),
                who: person("mira"),
                region: Region::Tokyo,
                amount: money(offset * 100),
                units: 1,
                at: Timestamp(5),
            },
            closes_at: Timestamp(9),
            extended: false,
            reserve: Reserve::None,
            next_minimum: money(offset * 100 + 1),
        };
    }
    event
}

#[tokio::test]
async fn the_example_client_comes_back_where_it_was() {
    let house = House::open().await;
    let lot = house.lot;
    let wire = wire(house.address).await;
    let mut watch = Watch::new(&format!("http://{}/", wire.address), lot).expect("an address");
    let (say, mut said) = mpsc::unbounded_channel();
    let watching = tokio::spawn(async move {
        watch
            .run(|line| {
                let _nobody = say.send(line);
            })
            .await
    });
    let mut next = async || {
        let line = timeout(PATIENCE, said.recv()).await;
        line.expect("in time").expect("it still watches")
    };
    assert_eq!(next().await, "Lamp stands at $0.05");
    house.hub.deliver(&bid(lot, 5));
    assert_eq!(next().await, "5: mira bids $5");
    wire.cut.send_replace(1);
    // While nobody listens the house goes on.
    for offset in 6..=7 {
        house.hub.deliver(&bid(lot, offset));
    }
    assert_eq!(next().await, "nothing was missed but what follows");
    assert_eq!(next().await, "6: mira bids $6");
    assert_eq!(next().await, "7: mira bids $7");
    house.hub.deliver(&lot_event(lot, 8));
    assert_eq!(next().await, "8: the lot is over, Passed");
    let ended = timeout(PATIENCE, watching).await.expect("in time");
    ended.expect("no panic").expect("it ends with the lot");
}

#[tokio::test]
async fn what_does_not_exist_is_refused_for_good() {
    let house = House::open().await;
    let address = format!("http://{}", house.address);
    let mut watch = Watch::new(&address, server::ids::lot()).expect("an address");
    let ended = timeout(PATIENCE, watch.run(|_| {})).await.expect("in time");
    let error = ended.expect_err("there is no such lot");
    assert!(error.to_string().contains("NotFound"), "{error}");
}

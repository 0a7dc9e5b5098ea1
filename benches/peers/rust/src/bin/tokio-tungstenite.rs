//! tokio-tungstenite: echo on /echo, and on /fan what one sends goes to all.

use std::io;

use futures_util::{FutureExt, SinkExt, StreamExt};
use peers::{BATCH_MAX, Options, Room};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

type Socket = WebSocketStream<TcpStream>;

/// What has come is answered before anything is flushed, so that answers leave together.
async fn echo(mut socket: Socket) -> Result<(), Error> {
    while let Some(mut next) = socket.next().await {
        loop {
            let message = next?;
            if message.is_text() || message.is_binary() {
                socket.feed(message).await?;
            }
            match socket.next().now_or_never() {
                Some(Some(more)) => next = more,
                Some(None) => return Ok(()),
                None => break,
            }
        }
        socket.flush().await?;
    }
    Ok(())
}

async fn fan(mut socket: Socket, room: Room<Message>) -> Result<(), Error> {
    let (mut queue, mut batch) = (room.join(), Vec::with_capacity(BATCH_MAX));
    loop {
        tokio::select! {
            next = socket.next() => match next {
                Some(message) => {
                    let message = message?;
                    if message.is_text() || message.is_binary() {
                        room.tell(&message);
                    }
                }
                None => return Ok(()),
            },
            _ = queue.recv_many(&mut batch, BATCH_MAX) => {
                for message in batch.drain(..) {
                    socket.feed(message).await?;
                }
                socket.flush().await?;
            }
        }
    }
}

// The type of the refusal is the library's.
#[allow(clippy::result_large_err)]
async fn serve(stream: TcpStream, options: Options, room: Room<Message>) {
    // The documentation's advice: 128 KiB, the default, for speed, 4 KiB for many connections.
    let config = WebSocketConfig::default();
    let config = if options.small { config.read_buffer_size(4 << 10) } else { config };
    let mut is_fan = false;
    let path = |request: &Request, response: Response| {
        is_fan = request.uri().path() == "/fan";
        Ok(response)
    };
    let Ok(socket) = accept_hdr_async_with_config(stream, path, Some(config)).await else { return };
    // An error here is a peer that went: nothing is left to be done.
    let _ = if is_fan { fan(socket, room).await } else { echo(socket).await };
}

fn main() -> io::Result<()> {
    let options = Options::from_args()?;
    let room = Room::default();
    peers::run(options, |stream| serve(stream, options, room.clone()))
}

//! tokio-tungstenite: echo on /echo, and on /fan what one sends goes to all.

use std::io;

use futures_util::{SinkExt, StreamExt, TryStreamExt, future};
use peers::{BATCH_MAX, Options, Room};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

type Socket = WebSocketStream<TcpStream>;

/// As in the library's example: what has come is answered before it is flushed.
async fn echo(socket: Socket) -> Result<(), Error> {
    let (writer, reader) = socket.split();
    let is_data = |message: &Message| future::ready(message.is_text() || message.is_binary());
    reader.try_filter(is_data).forward(writer).await
}

/// Two tasks, as the library's examples have it: to look for something to read costs it much.
async fn fan(socket: Socket, room: Room<Message>) -> Result<(), Error> {
    let (mut writer, mut reader) = socket.split();
    let (mut queue, mut batch) = (room.join(), Vec::with_capacity(BATCH_MAX));
    let writing = tokio::spawn(tokio::task::unconstrained(async move {
        while queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
            for message in batch.drain(..) {
                writer.feed(message).await?;
            }
            writer.flush().await?;
        }
        Ok::<(), Error>(())
    }));
    while let Some(Ok(message)) = reader.next().await {
        if message.is_text() || message.is_binary() {
            room.tell(&message);
        }
    }
    writing.abort();
    Ok(())
}

// The type of the refusal is the library's.
#[allow(clippy::result_large_err)]
async fn serve(stream: TcpStream, options: Options, room: Room<Message>) {
    // 16 KiB was the best of 4, 16 and 128 (the default), which is cleared before each read. For
    // many connections the documentation advises 4.
    let kib = if options.small { 4 } else { 16 };
    let config = WebSocketConfig::default().read_buffer_size(kib << 10);
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

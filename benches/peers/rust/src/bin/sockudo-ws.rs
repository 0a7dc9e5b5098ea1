//! sockudo-ws: echo on /echo, and on /fan what one sends goes to all, by its own `PubSub`.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use peers::{BATCH_MAX, Options};
use sockudo_ws::deflate::negotiate_server_deflate;
use sockudo_ws::error::{Error, Result};
use sockudo_ws::handshake::{build_response, generate_accept_key, parse_request, server_handshake};
use sockudo_ws::pubsub::PubSub;
use sockudo_ws::{
    CompressedWebSocketStream, Config, DeflateConfig, Message, Role, WebSocketStream,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

trait Socket: Stream<Item = Result<Message>> + Sink<Message, Error = Error> + Unpin {}
impl<S: Stream<Item = Result<Message>> + Sink<Message, Error = Error> + Unpin> Socket for S {}

/// What is fed leaves when the stream has nothing more to read: the library sees to it.
async fn echo(mut socket: impl Socket) -> Result<()> {
    while let Some(message) = socket.next().await {
        match message? {
            Message::Close(_) => break,
            Message::Ping(_) | Message::Pong(_) => {}
            message => socket.feed(message).await?,
        }
    }
    Ok(())
}

async fn fan(mut socket: impl Socket, room: &PubSub) -> Result<()> {
    let (sender, mut queue) = mpsc::unbounded_channel();
    let member = room.create_subscriber(sender);
    room.subscribe(member, "all");
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let ended = loop {
        tokio::select! {
            next = socket.next() => match next {
                None | Some(Ok(Message::Close(_))) => break Ok(()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(message)) => { room.publish("all", message); }
                Some(Err(error)) => break Err(error),
            },
            _ = queue.recv_many(&mut batch, BATCH_MAX) => {
                for message in batch.drain(..) {
                    if let Err(error) = socket.feed(message).await {
                        room.remove_subscriber(member);
                        return Err(error);
                    }
                }
                if let Err(error) = socket.flush().await {
                    break Err(error);
                }
            }
        }
    };
    room.remove_subscriber(member);
    ended
}

/// The handshake with permessage-deflate, which `server_handshake` leaves out.
async fn deflating(mut stream: TcpStream) -> Result<()> {
    let policy = DeflateConfig {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        ..DeflateConfig::default()
    };
    let mut head = BytesMut::with_capacity(4096);
    let negotiated = loop {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(Error::ConnectionClosed);
        }
        let Some((request, _)) = parse_request(&head)? else { continue };
        let offers = request.extensions.unwrap_or_default();
        let negotiated = negotiate_server_deflate(offers, &policy)
            .ok_or(Error::HandshakeFailed("no permessage-deflate was offered"))?;
        let accept = generate_accept_key(request.key);
        let header = negotiated.to_response_header();
        let response: Bytes = build_response(&accept, None, Some(&header));
        stream.write_all(&response).await?;
        break negotiated.config;
    };
    echo(CompressedWebSocketStream::server(stream, Config::default(), negotiated)).await
}

async fn serve(stream: TcpStream, options: Options, room: Arc<PubSub>) {
    // An error here is a peer that went: nothing is left to be done.
    let _ = if options.deflate { deflating(stream).await } else { plain(stream, &room).await };
}

async fn plain(mut stream: TcpStream, room: &PubSub) -> Result<()> {
    let request = server_handshake(&mut stream).await?;
    let config = Config::default();
    let socket =
        WebSocketStream::from_raw_with_leftover(stream, Role::Server, config, request.leftover);
    if request.path == "/fan" { fan(socket, room).await } else { echo(socket).await }
}

fn main() -> io::Result<()> {
    let options = Options::from_args()?;
    let room = Arc::new(PubSub::new());
    peers::run(options, |stream| serve(stream, options, Arc::clone(&room)))
}

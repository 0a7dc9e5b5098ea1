//! fastwebsockets: echo on /echo, and on /fan what one sends goes to all.

use std::io;

use bytes::Bytes;
use fastwebsockets::upgrade::{UpgradeFut, upgrade};
use fastwebsockets::{
    FragmentCollector, FragmentCollectorRead, Frame, OpCode, Payload, WebSocket, WebSocketError,
};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use peers::{BATCH_MAX, Options, Room};
use tokio::io::{AsyncRead, AsyncWrite, BufWriter};
use tokio::net::TcpStream;

#[derive(Clone, Debug)]
struct Said {
    is_text: bool,
    bytes: Bytes,
}

async fn echo<S: AsyncRead + AsyncWrite + Unpin>(
    socket: WebSocket<S>,
) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(socket);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn fan<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    socket: WebSocket<S>,
    room: Room<Said>,
) -> Result<(), WebSocketError> {
    let (reader, mut writer) = socket.split(|stream| {
        let (reader, writer) = tokio::io::split(stream);
        (reader, BufWriter::with_capacity(64 << 10, writer))
    });
    let (mut queue, mut batch) = (room.join(), Vec::with_capacity(BATCH_MAX));
    tokio::spawn(async move {
        while queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
            for said in batch.drain(..) {
                let opcode = if said.is_text { OpCode::Text } else { OpCode::Binary };
                let frame = Frame::new(true, opcode, None, Payload::Borrowed(&said.bytes));
                writer.write_frame(frame).await?;
            }
            writer.flush().await?;
        }
        Ok::<(), WebSocketError>(())
    });
    let mut reader = FragmentCollectorRead::new(reader);
    loop {
        // The load sends neither pings nor closes that would have to be answered here.
        let frame = reader.read_frame(&mut |_| async { Ok::<(), WebSocketError>(()) }).await?;
        let is_text = frame.opcode == OpCode::Text;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => {
                room.tell(&Said { is_text, bytes: Bytes::copy_from_slice(&frame.payload) });
            }
            _ => {}
        }
    }
}

async fn serve(upgraded: UpgradeFut, is_fan: bool, room: Room<Said>) {
    let Ok(socket) = upgraded.await else { return };
    // An error here is a peer that went: nothing is left to be done.
    let _ = if is_fan { fan(socket, room).await } else { echo(socket).await };
}

async fn respond(
    mut request: Request<Incoming>,
    room: Room<Said>,
) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let is_fan = request.uri().path() == "/fan";
    let (response, upgraded) = upgrade(&mut request)?;
    tokio::spawn(tokio::task::unconstrained(serve(upgraded, is_fan, room)));
    Ok(response)
}

async fn connection(stream: TcpStream, room: Room<Said>) {
    let service = service_fn(|request| respond(request, room.clone()));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let _: Result<(), hyper::Error> = connection.with_upgrades().await;
}

fn main() -> io::Result<()> {
    let options = Options::from_args()?;
    let room = Room::default();
    peers::run(options, |stream| connection(stream, room.clone()))
}

// Implementations of yamux in JavaScript, as a server that echoes and as a client that checks echoes.
//
//   usage:  node peer.mjs LIBRARY server
//           node peer.mjs LIBRARY client PORT STREAMS BYTES
//           node peer.mjs LIBRARY window PORT BYTES
//           node peer.mjs LIBRARY reset PORT
//           node peer.mjs LIBRARY away PORT
//
// The server prints the port it listens on, goes away (takes no more streams) at SIGUSR1, and resets all
// streams at SIGUSR2, where the library can.  The clients print what came of it as JSON.
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import net from 'node:net'

const BLOCK = 64 * 1024

// Node has it from version 22 on, and the library takes it for granted.
Promise.withResolvers ??= () => {
  let resolve, reject
  const promise = new Promise((yes, no) => { resolve = yes; reject = no })
  return { promise, resolve, reject }
}

/** @chainsafe/libp2p-yamux on a socket. */
async function libp2p () {
  const { yamux } = await import('@chainsafe/libp2p-yamux')
  const { AbstractMultiaddrConnection } = await import('@libp2p/utils')
  const log = Object.assign(() => {}, { trace () {}, error () {}, newScope: () => log })

  class Carrier extends AbstractMultiaddrConnection {
    constructor (socket, direction) {
      super({ log, direction, remoteAddr: undefined })
      this.socket = socket
      socket.on('data', (data) => this.onData(data))
      socket.on('drain', () => this.safeDispatchEvent('drain'))
      socket.on('close', () => this.onTransportClosed())
    }

    sendData (data) {
      return { sentBytes: data.byteLength, canSendMore: this.socket.write(data.subarray()) }
    }

    async sendClose () { this.socket.end() }
    sendReset () { this.socket.destroy() }
    sendPause () { this.socket.pause() }
    sendResume () { this.socket.resume() }
  }

  class Stream {
    constructor (stream) { this.stream = stream }
    get paused () { return this.stream.readStatus === 'paused' }
    async write (data) { if (!this.stream.send(data)) await this.stream.onDrain() }
    end () { return this.stream.close() }
    reset () { this.stream.abort(new Error('reset')) }
    pause () { this.stream.pause() }
    resume () { this.stream.resume() }
    onData (told) { this.stream.addEventListener('message', (event) => told(event.data.subarray())) }
    onEnd (told) { this.stream.addEventListener('end', told) }
    onReset (told) { this.stream.addEventListener('close', (event) => event.error && told()) }
  }

  return (socket, client, onStream) => {
    const carrier = new Carrier(socket, client ? 'outbound' : 'inbound')
    const muxer = yamux({ maxInboundStreams: 10_000, maxOutboundStreams: 10_000, maxEarlyStreams: 10_000 })()
      .createStreamMuxer(carrier)
    muxer.addEventListener('stream', (event) => onStream(new Stream(event.detail)))
    return {
      open: async () => new Stream(await muxer.createStream()),
      ping: () => muxer.ping(),
      goAway: () => muxer.sendGoAway(),
      gone: () => muxer.remoteGoAway !== undefined,
      left: () => muxer.streams.length
    }
  }
}

/** yamux-js on a socket.  It loses what comes of a frame in pieces, so it is given whole ones. */
async function yamuxJs () {
  const { default: { Client, Server } } = await import('yamux-js')

  class Stream {
    constructor (stream) { this.stream = stream }
    write (data) { return new Promise((resolve) => this.stream.write(data, resolve)) }
    end () { this.stream.close() }
    onData (told) { this.stream.on('data', told) }
    onEnd () {} // it does not look at a FIN
    onReset () {} // nor tells of a reset
  }

  function inFrames (socket, session) {
    let rest = Buffer.alloc(0)
    socket.on('data', (data) => {
      rest = Buffer.concat([rest, data])
      while (rest.length >= 12) {
        const size = 12 + (rest[1] === 0 ? rest.readUInt32BE(8) : 0)
        if (rest.length < size) break
        session.write(rest.subarray(0, size))
        rest = rest.subarray(size)
      }
    })
    session.pipe(socket)
  }

  return (socket, client, onStream) => {
    const config = { acceptBacklog: 10_000, enableKeepAlive: false, logger () {} }
    const session = client ? new Client(config) : new Server((stream) => onStream(new Stream(stream)), config)
    session.on('error', () => {})
    inFrames(socket, session)
    return {
      open: async () => {
        if (session.remoteGoAway) throw new Error('gone')
        return new Stream(session.open())
      },
      ping: async () => {
        session.ping()
        while (session.pings.size > 0) await turn()
        return 0
      },
      goAway: () => session.goAway(0),
      gone: () => session.remoteGoAway,
      left: () => 0 // which it cannot know without FINs
    }
  }
}

function turn () { return new Promise((resolve) => setTimeout(resolve, 1)) }

function echo (stream) {
  let last = Promise.resolve()
  stream.onData((data) => {
    const copy = Buffer.from(data)
    stream.pause?.()
    last = last.then(() => stream.write(copy)).then(() => { stream.resume?.() }).catch(() => {})
  })
  stream.onEnd(() => { last.then(() => stream.end()).catch(() => {}) })
}

async function serve (carry) {
  const server = net.createServer((socket) => {
    socket.on('error', () => {})
    const streams = []
    const session = carry(socket, false, (stream) => { streams.push(stream); echo(stream) })
    process.on('SIGUSR1', () => session.goAway())
    process.on('SIGUSR2', () => streams.forEach((stream) => stream.reset()))
  })
  server.listen(0, '127.0.0.1', () => console.log(server.address().port))
}

/** Send so many bytes on a stream; tells whether the same came back, and behind them an end if it would tell. */
async function ask (stream, size, { ends = true } = {}) {
  const sent = createHash('sha256')
  const came = createHash('sha256')
  const all = Promise.withResolvers()
  let length = 0
  stream.onData((data) => {
    came.update(data)
    length += data.length
    if (!ends && length === size) all.resolve()
  })
  stream.onEnd(() => all.resolve())
  const written = (async () => {
    for (let left = size; left > 0; left -= BLOCK) {
      const block = randomBytes(Math.min(left, BLOCK))
      sent.update(block)
      await stream.write(block)
    }
    if (ends) await stream.end()
  })()
  await Promise.all([all.promise, written])
  if (!ends) stream.end()
  return length === size && sent.digest('hex') === came.digest('hex')
}

const [library, deed, ...numbers] = process.argv.slice(2)
const ends = library === 'libp2p'
const carry = await { libp2p, 'yamux-js': yamuxJs }[library]()
const [port, ...rest] = numbers.map(Number)

async function connect () {
  const socket = net.connect(port, '127.0.0.1')
  await once(socket, 'connect')
  const session = carry(socket, true, () => {})
  return { socket, session }
}

const deeds = {
  async client ([streams, size]) {
    const { session } = await connect()
    const asked = Array.from({ length: streams }, async () => ask(await session.open(), size, { ends }))
    const good = (await Promise.all(asked)).filter(Boolean).length
    const ping = await session.ping()
    while (session.left() > 0) await turn()
    return { good, ping: ping >= 0 }
  },

  async window ([size]) {
    const { session } = await connect()
    const slow = await session.open()
    slow.pause()
    let waits = true
    const slowly = ask(slow, size).then((good) => { waits = false; return good })
    const quick = await ask(await session.open(), size)
    const waited = waits
    slow.resume()
    return { quick, waited, slow: await slowly }
  },

  async reset () {
    const { session } = await connect()
    const first = await session.open()
    await first.write(randomBytes(100_000))
    first.reset()
    return { good: await ask(await session.open(), 100_000), left: session.left() }
  },

  async away () {
    const { session } = await connect()
    const stream = await session.open()
    let came = 0
    stream.onData((data) => { came += data.length })
    await stream.write(Buffer.from('known'))
    while (came < 5) await turn()
    console.log('"known"')
    while (!session.gone()) await turn()
    const refused = await session.open().then(() => false, () => true)
    if (!ends) { // the other library lets go of all its streams
      await stream.write(Buffer.from('still'))
      while (came < 10) await turn()
      stream.end()
    }
    return { refused, came }
  }
}

if (deed === 'server') {
  await serve(carry)
} else {
  console.log(JSON.stringify(await deeds[deed](rest)))
  process.exit(0)
}

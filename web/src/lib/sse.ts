// Server-sent events from a fetch body: text arrives in pieces that end anywhere.

export class EventParser {
  private pending = '';

  // The data of every event completed by this piece. Comments and other fields are dropped.
  push(piece: string): string[] {
    this.pending += piece.replaceAll('\r\n', '\n');
    const events = this.pending.split('\n\n');
    this.pending = events.pop()!;
    return events
      .map((event) =>
        event
          .split('\n')
          .filter((line) => line.startsWith('data:'))
          .map((line) => line.slice(5).replace(/^ /, ''))
          .join('\n'),
      )
      .filter((data) => data !== '');
  }
}

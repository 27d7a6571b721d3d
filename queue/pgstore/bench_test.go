package pgstore

import (
	"io"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// BenchmarkCopyStream is encoding a thousand rows for COPY, read as the driver does.
func BenchmarkCopyStream(b *testing.B) {
	rows := make([]*queue.NewRow, 1000)
	for i := range rows {
		rows[i] = &queue.NewRow{FreshID: true, Row: &queue.Row{
			ID: uuid.New(), Task: "send_receipt", Queue: "default", Backend: "default", MaxAttempts: 10, Timeout: time.Minute,
			Args: []byte(`{"order_id":4711,"customer":"customer@example.com","template":"receipt","note":"thank you for your order, it is on its way"}`),
		}}
	}
	now, message := time.Now(), make([]byte, 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		stream, size := newCopyStream(now, rows), 0
		for {
			n, err := stream.Read(message)
			size += n
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		b.SetBytes(int64(size))
	}
}

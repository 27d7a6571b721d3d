package demodata

import "fmt"

// firstUser is the ID of the first user of the shop. User 4711 is always one of them.
const firstUser = 4700

// people sets how many users the shop has: about as many tasks are for each as in life, a
// handful of several names.
func (d *data) people(night Night) {
	d.users = max(50, (night.Successful+night.Failed)/6)
	for d.users%2 == 0 || d.users%5 == 0 { // the names of the tasks come in tens
		d.users++
	}
}

// argsOf are the arguments of the nth task of a name.
func (d *data) argsOf(task string, n int) string {
	user := firstUser + n*7919%d.users
	cents := [...]int{4999, 1999, 12900, 899}[n%4]
	switch task {
	case "billing.charge_card":
		return fmt.Sprintf(`{"order":"%s","cents":%d,"method":"card","user_id":%d}`, order(n), cents, user)
	case "emails.send_receipt":
		return fmt.Sprintf(`{"user_id":%d,"to":"user%d@example.org","order":"%s"}`, user, user, order(n))
	case "webhook.deliver":
		return fmt.Sprintf(`{"url":"https://hooks.example.com/orders","body":{"order":%s,"user_id":%d},"headers":{}}`, order(n), user)
	case "reports.render_pdf":
		return fmt.Sprintf(`{"report":"monthly","month":"2026-10","user_id":%d}`, user)
	case "media.transcode":
		return fmt.Sprintf(`{"video":"v%d","user_id":%d}`, n, user)
	case "search.reindex":
		return `{"index":"products"}`
	case "reports.legacy_export":
		return `{}`
	}
	return fmt.Sprintf(`{"user_id":%d}`, user)
}

// order is the number of the nth order: more than a float64 is exact for.
func order(n int) string { return fmt.Sprintf("9007199254740%07d", 9931234+n) }

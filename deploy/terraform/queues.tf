locals {
  # The Cloud Tasks queue of each task queue. The name "default" belongs to App
  # Engine, so that "default" gets the name of the service.
  cloud_queues = { for queue in var.queues : queue => queue == "default" ? var.service : queue }
  shards       = flatten([for queue, n in var.shards : [for i in range(n) : { queue = queue, name = "${local.cloud_queues[queue]}-${i}" }]])
  # A queue that is sharded keeps its first Cloud Tasks queue, which still delivers
  # the tasks that it holds.
  queues = setunion(values(local.cloud_queues), [for shard in local.shards : shard.name])
  aliases = concat(
    [for queue, name in local.cloud_queues : "${queue}=${name}" if queue != name && !contains(keys(var.shards), queue)],
    [for shard in local.shards : "${shard.queue}=${shard.name}"],
  )
}

# The row counts the attempts, so the queue must never drop a task; the server
# relies on a backoff of at most 300 s.
resource "google_cloud_tasks_queue" "queues" {
  for_each = local.queues
  project  = var.project
  location = var.region
  name     = each.key

  retry_config {
    max_attempts  = -1
    min_backoff   = "5s"
    max_backoff   = "300s"
    max_doublings = 6
  }
  rate_limits {
    max_dispatches_per_second = 500
    max_concurrent_dispatches = 500
  }
  depends_on = [google_project_service.apis]
}

resource "google_cloud_tasks_queue_iam_member" "runtime_enqueues" {
  for_each = local.queues
  project  = var.project
  location = var.region
  name     = google_cloud_tasks_queue.queues[each.key].name
  role     = "roles/cloudtasks.enqueuer"
  member   = google_service_account.runtime.member
}

resource "google_cloud_tasks_queue_iam_member" "runtime_looks" {
  for_each = var.doctor ? local.queues : toset([])
  project  = var.project
  location = var.region
  name     = google_cloud_tasks_queue.queues[each.key].name
  role     = "roles/cloudtasks.viewer"
  member   = google_service_account.runtime.member
}

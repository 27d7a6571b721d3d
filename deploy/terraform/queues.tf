locals {
  shards = flatten([for queue, n in var.shards : [for i in range(n) : { queue = queue, name = "${queue}-${i}" }]])
  # The queue that is spread stays: what it holds it still delivers.
  queues = setunion(var.queues, [for shard in local.shards : shard.name])
}

# Attempts are counted in the row, so that a message is never given up by the
# queue; a backoff of at most 300 s is what the server counts with.
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

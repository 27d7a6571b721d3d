locals {
  url = "https://${var.service}-${data.google_project.project.number}.${var.region}.run.app"
  jobs = local.cloud_run ? {
    sweep = { schedule = "* * * * *", body = "{}" }
    tick  = { schedule = "* * * * *", body = jsonencode({ ahead = "60s" }) }
    purge = { schedule = "17 3 * * *", body = jsonencode({ days = var.purge_days }) }
  } : {}
}

# The service is created once with Google's sample image and the account with the
# fewest roles, because roles need a service to be granted on. The first release
# replaces all of it, and Terraform ignores those changes.
resource "google_cloud_run_v2_service" "server" {
  count               = local.cloud_run ? 1 : 0
  project             = var.project
  location            = var.region
  name                = var.service
  ingress             = "INGRESS_TRAFFIC_ALL"
  deletion_protection = true

  template {
    service_account = google_service_account.invoker.email
    scaling {
      max_instance_count = 1
    }
    containers {
      image = "us-docker.pkg.dev/cloudrun/container/hello"
    }
  }
  lifecycle {
    ignore_changes = [template, traffic, annotations, labels, scaling, client, client_version]
  }
  depends_on = [google_project_service.apis]
}

resource "google_cloud_run_v2_service_iam_member" "invoker_calls" {
  count    = local.cloud_run ? 1 : 0
  project  = var.project
  location = var.region
  name     = google_cloud_run_v2_service.server[0].name
  role     = "roles/run.invoker"
  member   = google_service_account.invoker.member
}

resource "google_cloud_scheduler_job" "jobs" {
  for_each         = local.jobs
  project          = var.project
  region           = var.region
  name             = "${var.service}-${each.key}"
  schedule         = each.value.schedule
  time_zone        = "Etc/UTC"
  attempt_deadline = "600s"

  http_target {
    uri         = "${local.url}/tasks/${each.key}/"
    http_method = "POST"
    headers     = { "Content-Type" = "application/json" }
    body        = base64encode(each.value.body)
    oidc_token {
      service_account_email = google_service_account.invoker.email
      audience              = local.url
    }
  }
  depends_on = [google_project_service.apis]
}

variable "project" {
  description = "Project ID."
  type        = string
}

variable "region" {
  description = "Region of the service, the queues and the database; on App Engine that of the application."
  type        = string
}

variable "platform" {
  description = "Where the server runs: cloud-run or app-engine."
  type        = string
  default     = "cloud-run"
  validation {
    condition     = contains(["cloud-run", "app-engine"], var.platform)
    error_message = "platform must be cloud-run or app-engine."
  }
}

variable "service" {
  description = "Name of the service, and the prefix of all other names."
  type        = string
  default     = "claimcheck"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,20}[a-z0-9]$", var.service))
    error_message = "service must be 2 to 22 lower-case letters, digits and hyphens, a letter first."
  }
}

variable "queues" {
  description = "The queues of your tasks. The Cloud Tasks queue for default is named like the service, the others are named like the queue."
  type        = set(string)
  default     = ["default"]
  validation {
    condition     = alltrue([for queue in var.queues : can(regex("^[A-Za-z0-9-]{1,100}$", queue))])
    error_message = "A queue's name is 1 to 100 letters, digits and hyphens."
  }
  validation {
    condition     = !contains(var.queues, "default") || !contains(var.queues, var.service)
    error_message = "queues must not have both default and the name of the service: they would share a Cloud Tasks queue."
  }
}

variable "shards" {
  description = "How many more Cloud Tasks queues a queue gets. The server needs the output queue_aliases to use them."
  type        = map(number)
  default     = {}
  validation {
    condition     = alltrue([for queue, n in var.shards : contains(var.queues, queue) && n >= 2 && n <= 200 && floor(n) == n])
    error_message = "shards takes names of queues, with 2 to 200 for each."
  }
}

variable "doctor" {
  description = "Let the server read the queues' settings, which only its command doctor needs."
  type        = bool
  default     = true
}

variable "create_database" {
  description = "Create a Cloud SQL instance. Without it database_url names the database."
  type        = bool
  default     = true
}

variable "database_url" {
  description = "URL of an existing database, for create_database = false. Only Secret Manager stores it."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
}

variable "sql_tier" {
  description = "Machine of the Cloud SQL instance."
  type        = string
  default     = "db-custom-1-3840"
}

variable "secret_version" {
  description = "Raise it to generate new passwords, or to store another database_url."
  type        = number
  default     = 1
}

variable "purge_days" {
  description = "After how many days finished tasks are deleted."
  type        = number
  default     = 30
}

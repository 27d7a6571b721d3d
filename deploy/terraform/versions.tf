# deploy/setup.sh as a Terraform module: the same accounts, roles, queues,
# database, secrets and jobs, under the same names. Use one of the two.
#
# Passwords are ephemeral values and write-only arguments: they are in no plan and
# in no state, which needs Terraform 1.11.
terraform {
  required_version = ">= 1.11"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.40, < 9"
    }
    random = {
      source  = "hashicorp/random"
      version = ">= 3.7"
    }
  }
}

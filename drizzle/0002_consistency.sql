CREATE TABLE `circuit_routes` (
	`circuit_id` text NOT NULL,
	`session_id` text NOT NULL,
	`kernel_host` text NOT NULL,
	`kernel_port` integer NOT NULL,
	PRIMARY KEY(`circuit_id`, `session_id`, `kernel_host`, `kernel_port`),
	FOREIGN KEY (`circuit_id`) REFERENCES `circuits`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `circuit_routes_session` ON `circuit_routes` (`session_id`);--> statement-breakpoint
CREATE INDEX `circuit_routes_kernel` ON `circuit_routes` (`kernel_host`,`kernel_port`);--> statement-breakpoint
CREATE TABLE `leases` (
	`name` text PRIMARY KEY NOT NULL,
	`holder` text NOT NULL,
	`until` integer NOT NULL
);
--> statement-breakpoint
ALTER TABLE `circuits` ADD `used_at` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE INDEX `circuits_revision` ON `circuits` (`worker_id`,`revision`);--> statement-breakpoint
ALTER TABLE `nodes` ADD `agrees` integer;--> statement-breakpoint
ALTER TABLE `nodes` ADD `usage_delayed` integer DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE `workers` ADD `digest` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
UPDATE `circuits` SET `used_at` = max(`created_at`, `updated_at`);--> statement-breakpoint
INSERT OR IGNORE INTO `circuit_routes` SELECT `circuits`.`id`, json_extract(`r`.`value`, '$.session_id'), json_extract(`r`.`value`, '$.kernel_host'), json_extract(`r`.`value`, '$.kernel_port') FROM `circuits`, json_each(`circuits`.`route_info`) AS `r`;

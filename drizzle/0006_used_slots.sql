CREATE TABLE `used_slots` (
	`host` text NOT NULL,
	`port` integer NOT NULL,
	`user_id` text NOT NULL,
	`is_shared` integer DEFAULT false NOT NULL,
	`used_at` integer NOT NULL,
	`service_worker_user` text,
	`service_worker_at` integer,
	PRIMARY KEY(`host`, `port`)
);
--> statement-breakpoint
CREATE INDEX `used_slots_service_workers` ON `used_slots` (`host`,`port`) WHERE service_worker_user IS NOT NULL;--> statement-breakpoint
ALTER TABLE `circuits` ADD `recycled_at` integer;--> statement-breakpoint
ALTER TABLE `circuits` ADD `blocks_service_workers` integer DEFAULT false NOT NULL;--> statement-breakpoint
INSERT OR IGNORE INTO `used_slots` (`host`, `port`, `user_id`, `used_at`) SELECT lower(CASE WHEN `c`.`port` IS NULL THEN coalesce(`c`.`subdomain`, '') || coalesce(`w`.`wildcard_domain`, '') ELSE `w`.`hostname` END), coalesce(`c`.`port`, 0), coalesce(`c`.`user_id`, ''), `c`.`updated_at` FROM `circuits` AS `c` INNER JOIN `workers` AS `w` ON `w`.`id` = `c`.`worker_id`;

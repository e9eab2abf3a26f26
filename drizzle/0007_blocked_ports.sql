CREATE TABLE `blocked_ports` (
	`worker_id` text NOT NULL,
	`node_id` text NOT NULL,
	`port` integer NOT NULL,
	`since` integer NOT NULL,
	PRIMARY KEY(`worker_id`, `port`, `node_id`),
	FOREIGN KEY (`worker_id`,`node_id`) REFERENCES `nodes`(`worker_id`,`node_id`) ON UPDATE no action ON DELETE cascade
);

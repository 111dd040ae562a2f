rabbitmqctl add_user console-read-only
rabbitmqctl set_user_tags console-read-only monitoring
rabbitmqctl set_permissions --vhost / console-read-only '^(celeryev\.receiver\..*)$' '^(celeryev\.receiver\..*)$' '^(celeryev\.receiver\..*|celeryev)$'

rabbitmqctl add_user console-operate
rabbitmqctl set_user_tags console-operate monitoring
rabbitmqctl set_permissions --vhost / console-operate '^(celeryev\.receiver\..*|[0-9a-f-]{36}\.reply\.celery\.pidbox|celery\.pidbox|reply\.celery\.pidbox|celeryev)$' '^(celeryev\.receiver\..*|[0-9a-f-]{36}\.reply\.celery\.pidbox|celery\.pidbox|celeryev|amq\.default)$' '^(celeryev\.receiver\..*|celeryev|[0-9a-f-]{36}\.reply\.celery\.pidbox|reply\.celery\.pidbox)$'

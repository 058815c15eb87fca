/*
 * talk serve tcp|udp ADDRESS PORT: answers each client with "from CLIENT-ADDRESS".
 * talk ask tcp|udp ADDRESS PORT: prints the answer; says why there is none, and ends with 1.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int fail(const char *what) {
  printf("%s: %s\n", what, strerror(errno));
  return 1;
}

static int answer(int server, int is_udp) {
  char text[INET_ADDRSTRLEN + 16] = "from ";
  struct sockaddr_in client;
  socklen_t length = sizeof client;
  int connection = server;
  if (is_udp) {
    if (recvfrom(server, text + 5, 1, 0, (void *)&client, &length) < 0) return fail("recvfrom");
  } else {
    connection = accept(server, (void *)&client, &length);
    if (connection < 0) return fail("accept");
    if (read(connection, text + 5, 1) < 0) perror("read");
  }
  inet_ntop(AF_INET, &client.sin_addr, text + 5, INET_ADDRSTRLEN);
  strcat(text, "\n");
  if (is_udp) return sendto(server, text, strlen(text), 0, (void *)&client, length) < 0 ? fail("sendto") : 0;
  if (write(connection, text, strlen(text)) < 0) perror("write");
  return close(connection);
}

static int ask(int client, const struct sockaddr_in *address, int is_udp) {
  char text[100];
  struct timeval limit = { .tv_sec = 3 };
  setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (connect(client, (const void *)address, sizeof *address) < 0) return fail("connect");
  if (write(client, "?", 1) < 0) return fail("write");
  ssize_t length = read(client, text, sizeof text);
  if (length <= 0) return fail("read");
  fwrite(text, 1, length, stdout);
  return 0;
}

int main(int count, char **words) {
  if (count != 5) return 2;
  int is_udp = strcmp(words[2], "udp") == 0;
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(atoi(words[4])) };
  inet_pton(AF_INET, words[3], &address.sin_addr);
  int fd = socket(AF_INET, is_udp ? SOCK_DGRAM : SOCK_STREAM, 0);
  if (strcmp(words[1], "ask") == 0) return ask(fd, &address, is_udp);
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (void *)&address, sizeof address) < 0) return fail("bind");
  if (!is_udp && listen(fd, 8) < 0) return fail("listen");
  puts("listening");
  fflush(stdout);
  while (answer(fd, is_udp) == 0) continue;
  return 1;
}

// For commands, which import nothing of fs/sys.
export { keepYoungSpaceSmall } from '../../fs/sys/young-space.ts';

(()=>{var A,on,ve,at,$e,Jt,sn,Kt,rn,be,_e,ts,At=Symbol.for("pv"),Yt={},Xt=[],es=/^m(i|n|o|s|text|space)$/,ye=Array.isArray,ge=Xt.slice,dt=Object.assign;function ft(t){t&&t.parentNode&&t.remove()}function Tt(t,e,n){var o,r,s,i={},a=arguments.length;for(s in e)s=="key"?o=e[s]:s=="ref"&&typeof t!="function"?r=e[s]:i[s]=e[s];return a>2&&(i.children=a>3?ge.call(arguments,2):n),St(t,i,o,r,null)}function St(t,e,n,o,r){var s={type:t,props:e,key:n,ref:o,__k:null,__:null,__b:0,__e:null,__c:null,constructor:At,__v:r||++on,__i:-1,__u:0};return!r&&A.vnode&&A.vnode(s),s}function Ct(){return{current:null}}function pt(t){return t.children}function et(t,e){this.props=t,this.context=e,this.__g=0}function lt(t,e){if(e==null)return t.__&&lt(t.__,t.__i+1);for(var n;e<t.__k.length;e++)if((n=t.__k[e])&&n.__e)return n.__e;return typeof t.type!="function"||t.props.__P?null:lt(t)}function ns(t){var e,n=t.__v,o=n.__e,r=[],s=[],i=t.__P;i&&((e=dt({constructor:At},n)).__v=n.__v+1,A.vnode&&A.vnode(e),we(i,e,n,t.__n,i.namespaceURI,32&n.__u?[o]:null,r,o||lt(n),32&n.__u,s),e.__v=n.__v,e.__.__k[e.__i]=e,dn(r,e,s),n.__=n.__e=null,e.__e!=o&&an(e))}function an(t){if((t=t.__)&&t.__c&&!t.props.__P)return t.__e=null,t.__k.some(function(e){return e&&(t.__e=e.__e)}),an(t)}function en(t){(8&t.__g||(t.__g|=8,at.push(t),Jt++))&&$e==A.debounceRendering||(($e=A.debounceRendering)||queueMicrotask)(ln)}function ln(){try{for(var t,e=1;at.length;)at.length>e&&at.sort(sn),t=at.shift(),e=at.length,8&t.__g&&ns(t)}finally{(Jt=at.length)&&($e||queueMicrotask)(ln)}}function cn(t,e,n,o,r,s,i,a,l,f,c){var p,h,d,m,v,b,$=o.__k||Xt,_=e.length;for(l=os(n,e,$,l,_),p=0;p<_;p++)(d=n.__k[p])!=null&&(h=~d.__i&&$[d.__i]||Yt,d.__i=p,b=we(t,d,h,r,s,i,a,l,f,c),m=d.__e,(h.ref!=d.ref||8&h.__u)&&(h.ref&&ke(h.ref,null,d,h),d.ref&&c.push(d.ref,d.__c||m,d)),v=v||m,4&d.__u?(l=un(d,l,t,!h.__v),h.__e&&(h.__e=null)):typeof d.type=="function"&&b!==void 0?l=b:m&&(l=m.nextSibling),d.__u&=-21);return n.__e=v,l}function os(t,e,n,o,r){var s,i,a,l,f,c,p,h,d,m=n.length,v=m,b=0,$=0,_=t.__k=Array(r);for(s=0;s<r;s++)(i=e[s])!=null&&typeof i!="boolean"&&typeof i!="function"?(typeof i!="object"||i.constructor===String?i=_[s]=St(null,i):ye(i)?i=_[s]=St(pt,{children:i}):i.constructor===At&&i.__b?i=_[s]=St(i.type,i.props,i.key,i.ref,i.__v):_[s]=i,l=s+b,i.__=t,i.__b=t.__b+1,a=null,~(f=i.__i=ss(i,n,l,v))&&(v--,(a=n[f])&&(a.__u|=2)),a&&a.__v?(i.__u|=16,f==l-1?b--:f==l+1?b++:f!=l&&(f>l?b--:b++,$=1)):(~f||(r>m?b--:r<m&&b++),typeof i.type!="function"&&(i.__u|=4))):_[s]=null;if($){for(c=[],p=[],s=0;s<r;s++)if((i=_[s])&&16&i.__u){for(b=0,h=c.length;b<h;)c[d=b+h>>1]<i.__i?b=d+1:h=d;c[b]=i.__i,p[s]=b+1}for(b=c.length;s--;)p[s]&&(p[s]==b?b--:_[s].__u|=4)}if(v)for(s=0;s<m;s++)!(a=n[s])||2&a.__u||(a.__e==o&&(o=lt(a)),xe(a,a));return o}function un(t,e,n,o){var r,s,i,a;if(typeof t.type=="function"){if(t.props.__P)return e;if(r=t.__k)for(s=0;s<r.length;s++)r[s]&&(r[s].__=t,e=un(r[s],e,n,!1));return e}for(e&&!e.parentNode&&(e=lt(t))&&!e.parentNode&&(e=null),i=t.__e,a=e;a&&a.nodeType==8;)a=a.nextSibling;for(i!=a&&(!o&&n.moveBefore&&i.parentNode?n.moveBefore(i,e):n.insertBefore(i,e||null)),e=i;(e=e&&e.nextSibling)&&e.nodeType==8&&!e.data.startsWith("$s"););return e}function ss(t,e,n,o){var r,s=t.key,i=t.type,a=e[n],l=a&&!(2&a.__u);if(a===null&&s==null||l&&s==a.key&&i==a.type)return n;if(o>(l?1:0)){for(r=n-1;r>=0;r--)if((a=e[r])&&!(2&a.__u)&&s==a.key&&i==a.type)return r;for(r=n+1;r<e.length;r++)if((a=e[r])&&!(2&a.__u)&&s==a.key&&i==a.type)return r}return-1}function nn(t,e,n){n==null&&(n=""),e[0]=="-"?t.setProperty(e,n):t[e]=n}function Gt(t,e,n,o,r){var s,i;if(e=="style")if(typeof n=="string")t.style.cssText=n;else{if(typeof o=="string"&&(t.style.cssText=o=""),o)for(e in o)n&&e in n||nn(t.style,e);if(n)for(e in n)o&&n[e]==o[e]||nn(t.style,e,n[e])}else if(e[0]=="o"&&e[1]=="n")typeof n!="function"&&(n=null),typeof o!="function"&&(o=null),(t.__e||(t.__e={}))[e]=n,n&&o||(i=_e[e]||(_e[e]=rs(e)),(t.__a||(t.__a={}))[e]=be,s=e!=(e=e.replace(rn,"$1")),(e=e.slice(2))[0]<"a"&&(e=e.toLowerCase()),n?t.addEventListener(e,i,s):t.removeEventListener(e,i,s));else{if(r=="http://www.w3.org/2000/svg")e=e.replace(/xlink(H|:h)/,"h").replace(/sName$/,"s");else if(e!="width"&&e!="height"&&e!="href"&&e!="list"&&e!="form"&&e!="tabIndex"&&e!="download"&&e!="rowSpan"&&e!="colSpan"&&e!="role"&&e!="popover"&&e in t)try{return void(t[e]=n??"")}catch{}if(typeof n=="function")return;n==null||n===!1&&e[4]!="-"?t.removeAttribute(e):t.setAttribute(e,e=="popover"&&n==1?"":n)}}function rs(t){return function(e){var n=this.__e;if(n){if(n=n[t],e[Kt]==null)e[Kt]=be++;else if(e[Kt]<this.__a[t])return;return n(A.event?A.event(e):e)}}}function we(t,e,n,o,r,s,i,a,l,f){var c,p,h,d,m,v,b,$,_,k,g,M,S,T,L,it,Y,X,Z=e.type;if(e.constructor!==At)return null;128&n.__u&&(l=32&n.__u,c=n.__c.__z)&&(e.__u|=l,p=s=[],c.nodeType==8?a=Vt(c,s):s.push(c),a=s[0]||a),(c=A.__b)&&c(e);t:if(typeof Z=="function"){h=i.length;try{if($=e.props,_=(c=Z.prototype)&&c.render,k=(c=Z.contextType)&&o[c.__c],g=c?k?k.props.value:c.__:o,(d=n.__c)?(e.__c=d,2&d.__g&&(d.__g|=1)):(_?e.__c=d=new Z($,g):(e.__c=d=new et($,g),d.constructor=Z,d.render=as),k&&k.sub(d),d.state||(d.state={}),d.__n=o,d.__g|=8,d.__h=[],d.__k=[]),_&&(d.__s||(d.__s=d.state),Z.getDerivedStateFromProps&&(d.__s==d.state&&(d.__s=dt({},d.__s)),dt(d.__s,Z.getDerivedStateFromProps($,d.__s)))),m=d.props,v=d.state,d.__v=e,n.__c){if($!==m&&_&&!Z.getDerivedStateFromProps&&d.componentWillReceiveProps&&d.componentWillReceiveProps($,g),e.__v==n.__v&&!(8&d.__g)||!(4&d.__g)&&d.shouldComponentUpdate&&d.shouldComponentUpdate($,d.__s,g)===!1){e.__v!=n.__v&&(d.props=$,d.state=d.__s,d.__g&=-9),e.__e=n.__e,e.__k=n.__k,e.__k.some(function(V){V&&(V.__=e)}),Xt.push.apply(d.__h,d.__k),d.__k=[],d.__h.length&&i.push(d),a=lt(n);break t}d.componentWillUpdate&&d.componentWillUpdate($,d.__s,g),_&&d.componentDidUpdate&&d.__h.push(function(){d.componentDidUpdate(m,v,b)})}else _&&!Z.getDerivedStateFromProps&&d.componentWillMount&&d.componentWillMount(),_&&d.componentDidMount&&d.__h.push(d.componentDidMount);d.context=g,d.props=$,d.__P=t,d.__g&=-5,M=A.__r,S=_?25:0;do d.__g&=-9,M&&M(e),c=d.render(d.props,d.state=d.__s,d.context);while(8&d.__g&&++S<25);_&&(Xt.push.apply(d.__h,d.__k),d.__k=[]),d.state=d.__s,d.getChildContext&&(o=dt({},o,d.getChildContext())),_&&n.__c&&d.getSnapshotBeforeUpdate&&(b=d.getSnapshotBeforeUpdate(m,v)),T=c&&c.type===pt&&c.key==null?c.props.children:c,$.__P&&(c=a,r=(t=$.__P).namespaceURI,l=s=null,n.props&&n.props.__P!=t&&(n.__k.some(function(V){V&&xe(V,V)}),n.__k=null),a=n.__k?lt(n,0):null),a=cn(t,ye(T)?T:[T],e,n,o,r,s,i,a,l,f),$.__P&&(e.__e=null,a=c),e.__u&=-161,p&&p.some(ft),d.__h.length&&i.push(d),1&d.__g&&(d.__g&=-4)}catch(V){if(i.length=h,e.__v=null,l||s)if(V&&V.then){if(e.__u|=128|l,s){for(~(Y=s.indexOf(a||void 0))||(Y=s.length);(X=s[Y-1])&&X.nodeType==8;)Y--;for(;Y<s.length;Y++)if(X=s[Y])if(s[Y]=null,L){if(X==it)break}else{if(X.nodeType!=8)break;X.data.startsWith("$s")&&(it=Vt(L=X))}}if(!L){for(;a&&a.nodeType==8&&a.nextSibling;)a=a.nextSibling;L=a}(c=Vt(L=e.__c.__z||(e.__c.__z=L)))?(e.__e=L,a=c):e.__e=a,a=a&&a.nextSibling}else s&&s.some(ft);else e.__e=n.__e;e.__k||(e.__k=n.__k||[]),V&&V.then||fn(e),A.__e(V,e,n)}}else a=e.__e=is(n.__e,e,n,o,r,s,i,l,f,t);return(c=A.diffed)&&c(e),a}function Vt(t,e){if(t&&t.nodeType==8&&t.data.startsWith("$s"))for(var n=1;t=t.nextSibling;){if(t.nodeType==8){if(t.data.startsWith("$s"))n++;else if(t.data.startsWith("/$s")&&!--n)return t}e&&e.push(t)}}function fn(t){t&&(t.__c&&(t.__c.__g|=4),t.__k&&t.__k.some(fn))}function dn(t,e,n){for(var o=0;o<n.length;)ke(n[o++],n[o++],n[o++]);A.__c&&A.__c(e,t),t.some(function(r){try{t=r.__h,r.__h=[],t.some(function(s){s.call(r)})}catch(s){A.__e(s,r.__v)}})}function is(t,e,n,o,r,s,i,a,l,f){var c,p,h,d,m,v,b,$,_=n.props||Yt,k=e.props,g=e.type;if(g=="svg"?r="http://www.w3.org/2000/svg":g=="math"?r="http://www.w3.org/1998/Math/MathML":r||(r="http://www.w3.org/1999/xhtml"),s){for(c=0;c<s.length;c++)if((m=s[c])&&(g?m.localName==g:m.nodeType==3)){t=m,s[c]=null;break}}if(!t){if($=f.ownerDocument||document,!g)return $.createTextNode(k);t=$.createElementNS(r,g,k.is?k:f),a&&(A.__m&&A.__m(e,s),a=!1),s=null}if(g){if(f=g=="template"&&t.content||t,s=g=="textarea"&&k.defaultValue!=null?null:s&&ge.call(f.childNodes),!a&&s)for(_={},c=0;c<t.attributes.length;c++)_[(m=t.attributes[c]).name]=m.value;for(c in _)m=_[c],c=="dangerouslySetInnerHTML"?h=m:c=="children"||c in k||c=="value"&&"defaultValue"in k||c=="checked"&&"defaultChecked"in k||Gt(t,c,null,m,r);for(c in k)m=k[c],c=="children"?d=m:c=="dangerouslySetInnerHTML"?p=m:c=="value"?v=m:c=="checked"?b=m:a&&typeof m!="function"||_[c]===m||Gt(t,c,m,_[c],r);p?(a||h&&(p.__html==h.__html||p.__html==t.innerHTML)||(t.innerHTML=p.__html),e.__k=[]):(h&&(t.textContent=""),(g=="foreignObject"||r=="http://www.w3.org/1998/Math/MathML"&&es.test(g))&&(r="http://www.w3.org/1999/xhtml"),cn(f,ye(d)?d:[d],e,n,o,r,s,i,s?s[0]:n.__k&&lt(n,0),a,l),s&&s.some(ft)),a&&g!="textarea"||(c="value",g=="progress"&&v==null?t.removeAttribute(c):v==null||v===t[c]&&(g!="progress"||v)||Gt(t,c,v,_[c],r),c="checked",b!=null&&b!=t[c]&&Gt(t,c,b,_[c],r))}else _===k||a&&t.data==k||(t.data=k);return t}function ke(t,e,n,o){try{typeof t=="function"?e?e.__x=t(e)||1:o&&(o=o.__c||o.__e)&&(e=o.__x)&&(o.__x=null,typeof e=="function"?e():t(null)):t.current=e}catch(r){A.__e(r,n)}}function xe(t,e,n){var o,r,s,i;if(A.unmount&&A.unmount(t),!(o=t.ref)||o.current&&o.current!=t.__e||ke(o,null,e,t),o=t.__c){if(o.componentWillUnmount)try{o.componentWillUnmount()}catch(a){A.__e(a,e)}o.__P=o.__n=null}if(o=t.__k)for(i=0;i<o.length;i++)o[i]&&xe(o[i],e,typeof t.type!="function"||n&&!t.props.__P);!n&&(o=t.__c)&&(o=o.__z)&&(r=Vt(o,s=[]))&&(o==t.__e&&s.some(ft),ft(r),ft(o)),n||ft(t.__e),t.__e=t.__c=t.__=null}function as(t,e,n){return this.constructor(t,n)}function Me(t,e){var n,o,r,s;A.__&&A.__(t,e),e.nodeType==9&&(e=e.documentElement),o=(n=t&&32&t.__u)?null:e.__k,e.__k=St(pt,{children:[t]}),r=[],s=[],we(e,e.__k,o||Yt,Yt,e.namespaceURI,o?null:e.firstChild?ge.call(e.childNodes):null,r,o?o.__e:e.firstChild,n,s),dn(r,e.__k,s),e.__k.props.children=null}A={__e:function(t,e,n,o){for(var r,s,i;e=e.__;)if((r=e.__c)&&!(1&r.__g)){r.__g|=4;try{if((i=(s=r.constructor)&&s.getDerivedStateFromError)&&r.setState(s.getDerivedStateFromError(t)),r.componentDidCatch&&(r.componentDidCatch(t,o||{}),i=1),i&&8&r.__g)return void(r.__g|=2)}catch(a){t=a}}throw Jt=0,t}},on=0,ve=function(t){return t!=null&&t.constructor===At},et.prototype.setState=function(t,e){var n=this.__s;n&&n!=this.state||(n=this.__s=dt({},this.state)),typeof t=="function"&&(t=t(dt({},n),this.props)),t&&(dt(n,t),this.__v&&(e&&this.__k.push(e),en(this)))},et.prototype.forceUpdate=function(t){this.__v&&(this.__g|=4,t&&this.__h.push(t),en(this))},et.prototype.render=pt,at=[],Jt=0,sn=function(t,e){return t.__v.__b-e.__v.__b},Kt=Symbol(),rn=/(PointerCapture)$|Capture$/i,be=0,_e={},ts=0;var hn=function(t,e,n,o){var r;e[0]=0;for(var s=1;s<e.length;s++){var i=e[s++],a=e[s]?(e[0]|=i?1:2,n[e[s++]]):e[++s];i===3?o[0]=a:i===4?o[1]=Object.assign(o[1]||{},a):i===5?(o[1]=o[1]||{})[e[++s]]=a:i===6?o[1][e[++s]]+=a+"":i?(r=t.apply(a,hn(t,a,n,["",null])),o.push(r),a[0]?e[0]|=2:(e[s-2]=0,e[s]=r)):o.push(a)}return o},pn=new Map;function mn(t){var e=pn.get(this);return e||(e=new Map,pn.set(this,e)),(e=hn(this,e.get(t)||(e.set(t,e=(function(n){for(var o,r,s=1,i="",a="",l=[0],f=function(h){s===1&&(h||(i=i.replace(/^\s*\n\s*|\s*\n\s*$/g,"")))?l.push(0,h,i):s===3&&(h||i)?(l.push(3,h,i),s=2):s===2&&i==="..."&&h?l.push(4,h,0):s===2&&i&&!h?l.push(5,0,!0,i):s>=5&&((i||!h&&s===5)&&(l.push(s,0,i,r),s=6),h&&(l.push(s,h,0,r),s=6)),i=""},c=0;c<n.length;c++){c&&(s===1&&f(),f(c));for(var p=0;p<n[c].length;p++)o=n[c][p],s===1?o==="<"?(f(),l=[l],s=3):i+=o:s===4?i==="--"&&o===">"?(s=1,i=""):i=o+i[0]:a?o===a?a="":i+=o:o==='"'||o==="'"?a=o:o===">"?(f(),s=1):s&&(o==="="?(s=5,r=i,i=""):o==="/"&&(s<5||n[c][p+1]===">")?(f(),s===3&&(l=l[0]),s=l,(l=l[0]).push(2,0,s),s=0):o===" "||o==="	"||o===`
`||o==="\r"?(f(),s=2):i+=o),s===3&&i==="!--"&&(s=4,l=l[0])}return f(),l})(t)),e),arguments,[])).length>1?e:e[0]}var u=mn.bind(Tt);var Et,U,Se,$n,Ae=Object.is,Zt=0,Mn=[],Te=[],N=A,_n=N.__b,vn=N.__r,bn=N.diffed,yn=N.__c,gn=N.unmount,wn=N.__;function Re(t,e){N.__h&&N.__h(U,t,Zt||e),Zt=0;var n=U.__H||(U.__H={__:[],__h:[]});return t>=n.__.length&&n.__.push({}),n.__[t]}function C(t){return Zt=1,ls(An,t)}function ls(t,e,n){var o=Re(Et++,2);if(o.t=t,!o.__c&&(o.__=[n?n(e):An(void 0,e),function(s){var i=(o.__N||o.__)[0],a=o.t(i,s);Ae(i,a)||(o.__N=[a,o.__[1]],o.__c.setState({}))}],o.__c=U,!U.__f)){U.__f=!0;var r=U.shouldComponentUpdate;U.shouldComponentUpdate=function(s,i,a){var l=this.__H;if(!l)return!0;var f=!1,c=this.props!=s;if(l.__.some(function(h){h.__N&&(f=!0,Ae(h.__[0],h.__N[0])||(c=!0))}),r){var p=r.call(this,s,i,a);return f?p||c:p}return!f||c}}return o.__}function ht(t,e){var n=Re(Et++,3);!N.__s&&Sn(n.__H,e)&&(n.__P=!0,n.__=t,n.u=e,U.__H.__h.push(n))}function Pt(t){return Zt=5,q(function(){return{current:t}},[])}function q(t,e){var n=Re(Et++,7);return Sn(n.__H,e)&&(n.__=t(),n.__H=e),n.__}function cs(){var t;do{for(;t=Te.shift();)try{Rt(t)}catch(n){N.__e(n,{__:(t=t.__P)&&t.__v})}for(;t=Mn.shift();){var e=t.__H;if(t.__P&&e)try{e.__h.some(Rt),e.__h.some(Ce),e.__h=[]}catch(n){e.__h=[],N.__e(n,t.__v)}}}while(Te.length)}N.__b=function(t){U=null,_n&&_n(t)},N.__=function(t,e){t&&e.__k&&e.__k.__m&&(t.__m=e.__k.__m),wn&&wn(t,e)},N.__r=function(t){vn&&vn(t),Et=0;var e=(U=t.__c).__H;e&&(Se==U?U.__h=[]:(e.__h.some(Rt),e.__h.some(Ce),Et=0),e.__h=[],e.__.some(function(n){n.__N&&(n.__=n.__N),n.u=n.__N=void 0})),Se=U},N.diffed=function(t){bn&&bn(t);var e=t.__c;e&&e.__H&&(e.__H.__h.length&&xn(Mn.push(e)),e.__H.__.some(function(n){n.u&&(n.__H=n.u)})),Se=U=null},N.__c=function(t,e){e.some(function(n){try{n.__h.some(Rt),n.__h=n.__h.filter(function(o){return!o.__||Ce(o)})}catch(o){n.__h=[function(){throw o}]}}),yn&&yn(t,e)},N.unmount=function(t){gn&&gn(t);var e,n,o=t.__c;o&&o.__H&&(o.__H.__.some(function(r){try{if(r.__P&&r.__c){if(n===void 0){for(n=t.__;n&&(!n.__c||!n.__c.__P);)n=n.__;n=n&&n.__c}r.__P=n,xn(Te.push(r))}else Rt(r)}catch(s){e=s}}),o.__H=void 0,e&&N.__e(e,o.__v))};var kn=typeof requestAnimationFrame=="function";function us(t){var e,n=function(){clearTimeout(o),kn&&cancelAnimationFrame(e),setTimeout(t)},o=setTimeout(n,35);kn&&(e=requestAnimationFrame(n))}function xn(t){t!=1&&$n==N.requestAnimationFrame||(($n=N.requestAnimationFrame)||us)(cs)}function Rt(t){var e=U,n=t.__c;typeof n=="function"&&(t.__c=void 0,n()),U=e}function Ce(t){var e=U;t.__c=t.__(),U=e}function Sn(t,e){return!t||t.length!=e.length||e.some(function(n,o){return!Ae(n,t[o])})}function An(t,e){return typeof e=="function"?e(t):e}var fs=Symbol.for("preact-signals");function ne(){if(nt>1)nt--;else{var t,e=!1;for((function(){var r=te;for(te=void 0;r!==void 0;){var s=r.S;if(s.v===r.v)for(var i=s.t;i!==void 0;i=i.x)i.i===r.i&&(i.i=s.i);r=r.o}})();Lt!==void 0;){var n=Lt;for(Lt=void 0,Qt++;n!==void 0;){var o=n.u;if(n.u=void 0,n.f&=-3,!(8&n.f)&&Cn(n))try{n.c()}catch(r){e||(t=r,e=!0)}n=o}}if(Qt=0,nt--,e)throw t}}function Pe(t){if(nt>0)return t();Ee=++ds,nt++;try{return t()}finally{ne()}}var Nt,E=void 0;function Ut(t){var e=E,n=Nt;E=void 0,Nt=void 0;try{return t()}finally{E=e,Nt=n}}var Lt=void 0,nt=0,Qt=0,ds=0,Ee=0,te=void 0,ee=0;function Tn(t){if(E!==void 0){var e=t.n;if(e===void 0||e.t!==E)return e={i:0,S:t,p:E.s,n:void 0,t:E,e:void 0,x:void 0,r:e},E.s!==void 0&&(E.s.n=e),E.s=e,t.n=e,32&E.f&&t.S(e),e;if(e.i===-1)return e.i=0,e.n!==void 0&&(e.n.p=e.p,e.p!==void 0&&(e.p.n=e.n),e.p=E.s,e.n=void 0,E.s.n=e,E.s=e),e}}function I(t,e){this.v=t,this.i=0,this.n=void 0,this.t=void 0,this.l=0,this.W=e?.watched,this.Z=e?.unwatched,this.name=e?.name}I.prototype.brand=fs;I.prototype.h=function(){return!0};I.prototype.S=function(t){var e=this,n=this.t;n!==t&&t.e===void 0&&(t.x=n,this.t=t,n!==void 0?n.e=t:Ut(function(){var o;(o=e.W)==null||o.call(e)}))};I.prototype.U=function(t){var e=this;if(this.t!==void 0){var n=t.e,o=t.x;n!==void 0&&(n.x=o,t.e=void 0),o!==void 0&&(o.e=n,t.x=void 0),t===this.t&&(this.t=o,o===void 0&&Ut(function(){var r;(r=e.Z)==null||r.call(e)}))}};I.prototype.subscribe=function(t){var e=this;return ot(function(){var n=e.value;Ut(function(){return t(n)})},{name:"sub"})};I.prototype.valueOf=function(){return this.value};I.prototype.toString=function(){return this.value+""};I.prototype.toJSON=function(){return this.value};I.prototype.peek=function(){var t=this;return Ut(function(){return t.value})};Object.defineProperty(I.prototype,"value",{get:function(){var t=Tn(this);return t!==void 0&&(t.i=this.i),this.v},set:function(t){if(t!==this.v){if(Qt>100)throw new Error("Cycle detected");(function(n){nt!==0&&Qt===0&&n.l!==Ee&&(n.l=Ee,te={S:n,v:n.v,i:n.i,o:te})})(this),this.v=t,this.i++,ee++,nt++;try{for(var e=this.t;e!==void 0;e=e.x)e.t.N()}finally{ne()}}}});function ct(t,e){return new I(t,e)}function Cn(t){for(var e=t.s;e!==void 0;e=e.n)if(e.S.i!==e.i||!e.S.h()||e.S.i!==e.i)return!0;return!1}function Rn(t){for(var e=t.s;e!==void 0;e=e.n){var n=e.S.n;if(n!==void 0&&(e.r=n),e.S.n=e,e.i=-1,e.n===void 0){t.s=e;break}}}function En(t){for(var e=t.s,n=void 0;e!==void 0;){var o=e.p;e.i===-1?(e.S.U(e),o!==void 0&&(o.n=e.n),e.n!==void 0&&(e.n.p=o)):n=e,e.S.n=e.r,e.r!==void 0&&(e.r=void 0),e=o}t.s=n}function mt(t,e){I.call(this,void 0,e),this.x=t,this.s=void 0,this.g=ee-1,this.f=4}mt.prototype=new I;mt.prototype.h=function(){if(this.f&=-3,1&this.f)return!1;if((36&this.f)==32||(this.f&=-5,this.g===ee))return!0;if(this.g=ee,this.f|=1,this.i>0&&!Cn(this))return this.f&=-2,!0;var t=E;try{Rn(this),E=this;var e=this.x();(16&this.f||this.v!==e||this.i===0)&&(this.v=e,this.f&=-17,this.i++)}catch(n){this.v=n,this.f|=16,this.i++}return E=t,En(this),this.f&=-2,!0};mt.prototype.S=function(t){if(this.t===void 0){this.f|=36;for(var e=this.s;e!==void 0;e=e.n)e.S.S(e)}I.prototype.S.call(this,t)};mt.prototype.U=function(t){if(this.t!==void 0&&(I.prototype.U.call(this,t),this.t===void 0)){this.f&=-33;for(var e=this.s;e!==void 0;e=e.n)e.S.U(e)}};mt.prototype.N=function(){if(!(2&this.f)){this.f|=6;for(var t=this.t;t!==void 0;t=t.x)t.t.N()}};Object.defineProperty(mt.prototype,"value",{get:function(){if(1&this.f)throw new Error("Cycle detected");var t=Tn(this);if(this.h(),t!==void 0&&(t.i=this.i),16&this.f)throw this.v;return this.v}});function oe(t,e){return new mt(t,e)}function Pn(t){var e=t.j;if(t.j=void 0,typeof e=="function"){nt++;var n=E;E=void 0;try{e()}catch(o){throw t.f&=-2,t.f|=8,Ne(t),o}finally{E=n,ne()}}}function Ne(t){for(var e=t.s;e!==void 0;e=e.n)e.S.U(e);t.x=void 0,t.s=void 0,Pn(t)}function ps(t){if(E!==this)throw new Error("Out-of-order effect");En(this),E=t,this.f&=-2;try{8&this.f&&Ne(this)}finally{ne()}}function bt(t,e){this.x=t,this.j=void 0,this.s=void 0,this.u=void 0,this.f=32,this.name=e?.name,Nt&&Nt.push(this)}bt.prototype.c=function(){var t=this.S();try{if(8&this.f||this.x===void 0)return;var e=this.x();typeof e=="function"&&(this.j=e)}finally{t()}};bt.prototype.S=function(){if(1&this.f)throw new Error("Cycle detected");this.f|=1,this.f&=-9,Pn(this),Rn(this),nt++;var t=E;return E=this,ps.bind(this,t)};bt.prototype.N=function(){2&this.f||(this.f|=2,this.u=Lt,Lt=this)};bt.prototype.d=function(){this.f|=8,1&this.f||Ne(this)};bt.prototype.dispose=function(){this.d()};function ot(t,e){var n=new bt(t,e);try{n.c()}catch(r){throw n.d(),r}var o=n.d.bind(n);return o[Symbol.dispose]=o,o}var Nn,re,se,hs=typeof window<"u"&&!!window.__PREACT_SIGNALS_DEVTOOLS__;var Ln=[];ot(function(){Nn=this.N})();function yt(t,e){A[t]=e.bind(null,A[t]||function(){})}function It(t){if(se){var e=se;se=void 0,e()}se=t&&t.S()}function Un(t){var e=this,n=t.data,o=Le(n);o.name="ReactiveDom",o.value=n;var r=q(function(){for(var a=e,l=e.__v;l=l.__;)if(l.__c){l.__c.__$f|=4;break}var f=oe(function(){var d=o.value.value;return d===0?0:d===!0?"":d||""}),c=oe(function(){return!Array.isArray(f.value)&&!ve(f.value)}),p=ot(function(){if(this.N=In,c.value){var d=f.value;a.__v&&a.__v.__e&&a.__v.__e.nodeType===3&&(a.__v.__e.data=d)}}),h=e.__$u.d;return e.__$u.d=function(){p(),h.call(this)},[c,f]},[]),s=r[0],i=r[1];return s.value?i.peek():i.value}Un.displayName="ReactiveTextNode";Object.defineProperties(I.prototype,{constructor:{configurable:!0,value:Tt(pt,null).constructor},type:{configurable:!0,value:Un},props:{configurable:!0,get:function(){var t=this;return{data:{get value(){return t.value}}}}},__b:{configurable:!0,value:1}});yt("__b",function(t,e){if(It(),re=void 0,typeof e.type=="string"){var n,o=e.props;for(var r in o)if(r!=="children"){var s=o[r];s instanceof I&&(n||(e.__np=n={}),n[r]=s,o[r]=s.peek())}}t(e)});yt("__r",function(t,e){if(t(e),e.type!==pt){It();var n,o=e.__c;o&&(o.__$f&=-2,(n=o.__$u)===void 0&&(o.__$u=n=(function(r,s){var i;return ot(function(){i=this},{name:s}),i.c=r,i})((function(r){return function(){var s;hs&&((s=this.y)==null||s.call(this)),r.__$f|=1,r.setState({})}})(o),typeof e.type=="function"?e.type.displayName||e.type.name:""))),re=o,It(n)}});yt("__e",function(t,e,n,o){It(),re=void 0,t(e,n,o)});yt("diffed",function(t,e){It(),re=void 0;var n;if(typeof e.type=="string"&&(n=e.__e)){var o=e.__np,r=e.props,s=n.U;if(s)for(var i in s){var a=s[i];a===void 0||o&&i in o||(a.d(),s[i]=void 0)}if(o){s||(s={},n.U=s);for(var l in o){var f=s[l],c=o[l];f===void 0?(f=ms(n,l,c,r),s[l]=f):f.o(c,r)}}}t(e)});function ms(t,e,n,o){var r=e in t&&t.ownerSVGElement===void 0,s=ct(n);return{o:function(i,a){s.value=i,o=a},d:ot(function(){this.N=In;var i=s.value.value;o[e]!==i&&(o[e]=i,r?t[e]=i:i!=null&&(i!==!1||e[4]==="-")?t.setAttribute(e,i):t.removeAttribute(e))})}}yt("unmount",function(t,e){if(typeof e.type=="string"){var n=e.__e;if(n){var o=n.U;if(o){n.U=void 0;for(var r in o){var s=o[r];s&&s.d()}}}var i=e.__np;if(i){var a=e.props;for(var l in i)a[l]=i[l]}e.__np=void 0}else{var f=e.__c;if(f){f.__$f|=8;var c=f.__$u;c&&(f.__$u=void 0,c.d())}}t(e)});yt("__h",function(t,e,n,o){o<3&&(e.__$f|=2),t(e,n,o)});et.prototype.shouldComponentUpdate=function(t,e){if(this.__R)return!0;var n=this.__$u,o=n&&n.s!==void 0;for(var r in e)return!0;if(this.__f||typeof this.u=="boolean"&&this.u===!0){var s=2&this.__$f;if(!(o||s||4&this.__$f)||1&this.__$f)return!0}else if(!(o||4&this.__$f)||3&this.__$f)return!0;for(var i in t)if(i!=="__source"&&t[i]!==this.props[i])return!0;for(var a in this.props)if(!(a in t))return!0;return!1};function Le(t,e){return q(function(){return ct(t,e)},[])}var $s=function(t){queueMicrotask(function(){queueMicrotask(t)})};function _s(){Pe(function(){for(var t;t=Ln.shift();)Nn.call(t)})}function In(){Ln.push(this)===1&&(A.requestAnimationFrame||$s)(_s)}var gt=JSON.parse(document.getElementById("records").textContent),vs=new URLSearchParams(location.search).get("token")??"",Ot=new Map,{served:Ft,start:ie}=gt,ei=Object.keys(gt.records),On=gt.files??{},j=t=>Ft||t in gt.records,Fn={i1:Int8Array,u1:Uint8Array,i2:Int16Array,u2:Uint16Array,i4:Int32Array,u4:Uint32Array,f4:Float32Array,f8:Float64Array};async function Dn(t){let e=new Blob([t]).stream().pipeThrough(new DecompressionStream("deflate")),n=await new Response(e).arrayBuffer(),o=new DataView(n).getUint32(0,!0),r=4+o;return JSON.parse(new TextDecoder().decode(new Uint8Array(n,4,o)),(s,i)=>i&&i.$ in Fn?new Fn[i.$](n,r+i.at,i.n):i)}var bs=t=>Uint8Array.from(atob(t),e=>e.charCodeAt(0));async function Ue(t,e={}){let n={...e.headers,Authorization:`Bearer ${vs}`},o=await fetch(t,{...e,headers:n,cache:"no-store"});if(o.ok||o.status===409)return o;throw new Error(await o.text()||`the server answered ${o.status}`)}async function ys(t){if(t in gt.records)return Dn(bs(gt.records[t]));if(!Ft)throw new Error(`This file does not hold ${t}.`);let e=t.split("/").map(encodeURIComponent).join("/");return Dn(await(await Ue(`api/record/${e}`)).arrayBuffer())}function gs(t){if(!Ot.has(t)){let e=ys(t);Ot.set(t,e),e.catch(()=>Ot.delete(t))}return Ot.get(t)}var Dt=t=>Ot.delete(t);function J(t){let e=`#/${t.split("/").map(encodeURIComponent).join("/")}`;return j(t)?e:On[t]?encodeURIComponent(On[t])+e:""}function R(t,e=0){let[n,o]=C({});return ht(()=>{let r=!0;return t?(o(s=>s.key===t?s:{}),gs(t).then(s=>r&&o({key:t,value:s}),s=>r&&o({key:t,error:s.message})),()=>r=!1):o({})},[t,e]),t&&n.key===t?n:{}}var ae=t=>{let[e,n=""]=t.replace(/^#\/?/,"").split("?");return{parts:e.split("/").filter(Boolean).map(ws),params:Object.fromEntries(new URLSearchParams(n))}};function ws(t){try{return decodeURIComponent(t)}catch{return t}}var z=ct(ae(location.hash||ie));addEventListener("hashchange",()=>z.value=ae(location.hash||ie));function F(t,e={}){let n=Object.entries(e).filter(([,r])=>r!==""&&r!=null),o=new URLSearchParams(n).toString().replaceAll("%2C",",");return`#/${t.map(encodeURIComponent).join("/")}${o?`?${o}`:""}`}function P(t,{step:e=!1}={}){let{parts:n,params:o}=z.value;jn(F(n,{...o,...t}),e?"pushState":"replaceState")}function jn(t,e){try{history[e](null,"",t)}catch{}z.value=ae(t)}addEventListener("click",t=>{let e=t.target.closest?.("a")?.getAttribute("href"),n=t.ctrlKey||t.metaKey||t.shiftKey;!e?.startsWith("#/")||t.defaultPrevented||n||(t.preventDefault(),jn(e,"pushState"),scrollTo(0,0))});addEventListener("popstate",()=>z.value=ae(location.hash||ie));var Bn=t=>(t??"").split(",").filter(Boolean).map(Number).filter(Number.isInteger);var ks=/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]/gu,tt=t=>String(t??"").replace(ks,e=>e===`
`?"\u23CE":`\\u${e.charCodeAt(0).toString(16).padStart(4,"0")}`),x=t=>tt(t).replace(/^ | $/g,"\u2423")||"\u2205";function y(t,e=200){let n=tt(t);return n.length>e?`${n.slice(0,e)}\u2026`:n}function w(t,e=3){if(t==null||Number.isNaN(t))return"\u2013";let n=Math.abs(t);return n!==0&&(n<.001||n>=1e5)?t.toExponential(1).replace("-","\u2212"):t.toFixed(n>=100?1:e).replace("-","\u2212")}var D=t=>`${(100*t).toFixed(t<.1?1:0)} %`,le=t=>(t??"").slice(0,12),O=(t,e)=>`${t.toLocaleString("en")} ${e}${t===1?"":"s"}`;var Hn="circuitstore.theme",Ie=matchMedia("(prefers-color-scheme: dark)"),Oe=Fe(Hn),st=ct(Oe?Oe==="dark":Ie.matches),Wn=!!Oe;Ie.addEventListener("change",()=>Wn||(st.value=Ie.matches));ot(()=>document.documentElement.dataset.theme=st.value?"dark":"light");function qn(){Wn=!0,st.value=!st.value,ce(Hn,st.value?"dark":"light")}function Fe(t){try{return localStorage.getItem(t)}catch{return null}}function ce(t,e){try{return e?localStorage.setItem(t,e):localStorage.removeItem(t),!0}catch{return!1}}function B({error:t}){return t?u`<p class="problem" role="alert">${tt(t)}</p>`:u`<p class="note waiting" role="status">Reading …</p>`}function zn({tokens:t,values:e,most:n}){return u`<span class="tokens"
    >${t.map((o,r)=>{let s=e.get(r-t.length)??0,i=s>0?Math.max(1,Math.round(9*s/n)):0;return u`<span
        class=${`token heat${i}`}
        title=${s?`activation ${s.toFixed(3)}`:void 0}
        ><bdi>${x(o)}</bdi></span
      >`})}</span
  >`}var $t=({head:t,rows:e,label:n})=>u`<div class="scroll" tabindex="0" role="group" aria-label=${n}>
    <table aria-label=${n}>
      <thead>
        <tr>
          ${t.map(o=>u`<th scope="col">${o}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${e}
      </tbody>
    </table>
  </div>`,Gn=({value:t})=>u`<svg class="bar" width="90" height="10" aria-hidden="true">
    <line x1="45" y1="0" x2="45" y2="10" class="axis" />
    <rect
      class=${t<0?"down":"up"}
      x=${t<0?45+44*Math.max(t,-1):45}
      y="1"
      width=${44*Math.min(Math.abs(t),1)}
      height="8"
    />
  </svg>`;function Vn({behaviour:t}){let{value:e,error:n}=R(`behaviour/${t}`);if(!e)return u`<${B} error=${n} />`;let o=e.prompts.some(({id:r,graph:s})=>s&&J(`graph/${t}/${r}`));return u`<main class="page">
    <h1><bdi>${y(t)}</bdi> <span class="faint">${e.profile}</span></h1>
    <p class="row">
      ${"circuit"in e.phases&&J(`circuit/${t}`)&&u`<a class="button" href=${J(`circuit/${t}`)}>Aggregated graph</a>`}
      ${"interpretation"in e.phases&&J(`features/${t}`)&&u`<a class="button" href=${J(`features/${t}`)}>Features and their labels</a>`}
    </p>
    <${xs} ...${{value:e}} />
    <section>
      <h2>Prompts</h2>
      ${o&&u`<p class="note">A prompt leads to its graph.</p>`}<${Ts}
        ...${{value:e,behaviour:t}}
      />
    </section>
    <section>
      <h2>What each phase says</h2>
      <${Cs} ...${{value:e,behaviour:t}} />
    </section>
    ${e.figures.length>0&&u`<section>
        <h2>Figures</h2>
        <${Rs} ...${{value:e,behaviour:t}} />
      </section>`}
  </main>`}function xs({value:t}){let e=t.phases.baseline;return e?u`<section>
    <h2>Baseline</h2>
    <dl class="facts">
      <div>
        <dt>accuracy</dt>
        <dd>${D(e.accuracy)}</dd>
      </div>
      <div>
        <dt>answer most probable</dt>
        <dd>${D(e.top1_accuracy)}</dd>
      </div>
      <div title="logit of the correct answer less that of the incorrect one">
        <dt>mean margin</dt>
        <dd>${w(e.mean_logit_difference,2)} nats</dd>
      </div>
      <div>
        <dt>gate</dt>
        <dd class=${e.gate?"problem":""}>${e.gate||"passed"}</dd>
      </div>
      ${Ms(t)}
    </dl>
    <${As} ...${{value:t}} />
  </section>`:u`<p class="note">The baseline is not built.</p>`}function Ms({phases:t}){let e=t.attribution;return e?u`<div>
      <dt>replacement</dt>
      <dd>${w(e.replacement_score)}</dd>
    </div>
    <div>
      <dt>completeness</dt>
      <dd>${w(e.completeness_score)}</dd>
    </div>`:null}var Ss=t=>8+t*37%(ue-16),Kn=640,ue=64;function As({value:t}){let e=[...t.margin].filter(Number.isFinite);if(!e.length)return null;let[n,o]=[Math.min(...e),Math.max(...e)].map(a=>w(a,1)),r=Math.min(0,...e),s=Math.max(0,...e),i=a=>10+(Kn-20)*(a-r)/(s-r||1);return u`<div class="scroll" tabindex="0" role="group" aria-label="Margins, to scroll">
      <svg
        class="margins"
        width=${Kn}
        height=${ue+20}
        role="img"
        aria-label=${`Margins of ${e.length} prompts, from ${n} to ${o} nats`}
      >
        <line class="axis" x1=${i(0)} x2=${i(0)} y1="0" y2=${ue} />
        ${t.prompts.map(({id:a,text:l,split:f},c)=>Number.isFinite(t.margin[c])&&u`<circle key=${a} class=${f} cx=${i(t.margin[c])} cy=${Ss(c)} r="4">
            <title>${y(l,80)} ${w(t.margin[c],2)}</title>
          </circle>`)}
        ${[...new Set([r,0,s])].map(a=>u`<text x=${i(a)} y=${ue+14} text-anchor=${a===s?"end":"start"}>
            ${w(a,1)}
          </text>`)}
      </svg>
    </div>
    <p class="note">
      <span class="mark circle train"></span> train <span class="mark circle test"></span> test; margin in
      nats, right of 0 the answer is right
    </p>`}function Ts({value:t,behaviour:e}){let n=(z.value.params.q??"").toLowerCase(),o=t.prompts.map((r,s)=>({...r,margin:t.margin[s]})).filter(({text:r,id:s})=>`${r} ${s}`.toLowerCase().includes(n));return u`<input
      type="search"
      aria-label="Find prompts"
      placeholder="find prompts"
      value=${n}
      onInput=${r=>P({q:r.currentTarget.value})}
    />
    <${$t}
      label="Prompts"
      head=${["prompt","answer","not","split","margin","most probable"]}
      rows=${o.map(({id:r,text:s,correct:i,incorrect:a,split:l,margin:f,graph:c,top:p})=>u`<tr key=${r}>
            <td>
              ${c&&J(`graph/${e}/${r}`)?u`<a href=${J(`graph/${e}/${r}`)}><bdi>${y(s,120)}</bdi></a>`:u`<bdi>${y(s,120)}</bdi>`}
            </td>
            <td><bdi>${x(i)}</bdi></td>
            <td><bdi>${x(a)}</bdi></td>
            <td>${y(l,20)}</td>
            <td class=${`number ${f<0?"problem":""}`}>${w(f,2)}</td>
            <td class="faint">
              ${p.slice(0,3).map(([h,d])=>`${x(h)} ${D(Math.exp(d))}`).join("  ")}
            </td>
          </tr>`)}
    />`}function Cs({value:t,behaviour:e}){return u`<ul class="phases">
    ${Object.entries(t.phases).map(([n,o])=>u`<li key=${n}>
          <details>
            <summary>${y(n)}</summary>
            ${j(`provenance/${e}/${n}`)&&u`<p><a href=${F(["provenance",e,n])}>what it was made from</a></p>`}
            <${Jn} value=${o} />
          </details>
        </li>`)}
  </ul>`}var Jn=({value:t})=>Object.keys(t).length===0?u`<p class="note">nothing of the whole</p>`:u`<dl class="tree">
        ${Object.entries(t).map(([e,n])=>u`<div>
              <dt>${y(e,60)}</dt>
              <dd>
                ${n&&typeof n=="object"?u`<${Jn} value=${n} />`:typeof n=="number"?Number.isInteger(n)?n:w(n):y(n||"\u2013",200)}
              </dd>
            </div>`)}
      </dl>`;function Rs({value:t,behaviour:e}){let n=t.figures.filter(({name:r})=>j(`figure/${e}/${r}`)),o=z.value.params.figure??n[0]?.name;return u`<div class="row">
      <select
        aria-label="Figure"
        value=${o}
        onChange=${r=>P({figure:r.currentTarget.value})}
      >
        ${n.map(({name:r,title:s,section:i})=>u`<option key=${r} value=${r}>${i}: ${y(s,90)}</option>`)}
      </select>
      <span class="faint">${O(t.figures.length,"figure")}</span>
    </div>
    ${o&&u`<${Es} key=${o} ...${{behaviour:e}} name=${o} />`}`}function Es({behaviour:t,name:e}){let{value:n,error:o}=R(`figure/${t}/${e}`),[r,s]=C("");return ht(()=>{if(!n?.kind)return;let i=URL.createObjectURL(new Blob([n.picture],{type:n.kind}));return s(i),()=>URL.revokeObjectURL(i)},[n]),n?u`<figure>
    ${r&&u`<img src=${r} alt=${y(n.title,300)} />`}
    <figcaption>
      <b><bdi>${y(n.title,300)}</bdi></b> <bdi>${y(n.caption,2e3)}</bdi>
      <details>
        <summary>drawn from</summary>
        <pre>${n.provenance.split(`
`).map(tt).join(`
`)}</pre>
      </details>
    </figcaption>
  </figure>`:u`<${B} error=${o} />`}var rt=14,Ps=200;function Yn({feature:t,behaviour:e}){let{prompt:n,position:o,value:r}=t.activations??{};if(!n?.length)return u`<p class="note">None is stored.</p>`;let s=new Map,i=-1,a=0;for(let h=0;h<n.length;h++)s.has(n[h])?s.get(n[h]).push([o[h],r[h]]):s.set(n[h],[[o[h],r[h]]]),i=Math.min(i,o[h]),a=Math.max(a,r[h]);let l=[...s].sort((h,d)=>Math.max(...d[1].map(([,m])=>m))-Math.max(...h[1].map(([,m])=>m))).slice(0,Ps),f=-i,c=l.length*rt,p=`${s.size} prompts; the largest activation is ${w(a)}`;return u`<div class="scroll" tabindex="0" role="group" aria-label="Activations, to scroll">
    <svg class="heat" role="img" aria-label=${p} width=${f*3*rt+420} height=${c+24}>
      ${Array.from({length:f},(h,d)=>u`<text x=${(d+.5)*3*rt} y="14" text-anchor="middle" class="faint">
          ${d-f}
        </text>`)}
      ${l.map(([h,d],m)=>{let{tokens:v,text:b}=e.prompts[h];return u`<g key=${h} transform=${`translate(0,${20+m*rt})`}>
          ${d.map(([$,_])=>u`<rect
                class=${`heat${Math.max(1,Math.round(9*_/a))}`}
                x=${($+f)*3*rt}
                width=${3*rt-1}
                height=${rt-1}
              >
                <title>${x(v[v.length+$])} ${w(_)}</title></rect
              >`)}
          <text x=${f*3*rt+8} y=${rt-4}>${y(b,70)}</text></g
        >`})}
    </svg>
  </div>`}var De=240,_t=20;function je({list:t,behaviour:e,small:n=!1}){if(!t.length)return u`<p class="note">It was edited alone in no prompt.</p>`;let o=t.flatMap(({base:l,edited:f,control:c})=>[l,...f,...c]).filter(Number.isFinite),r=Math.min(...o),s=Math.max(...o),i=l=>6+(De-12)*(l-r)/(s-r||1),{kinds:a}=t[0];return u`${!n&&u`<${Ns} ...${{low:r,high:s}} />`}
    <div class="scroll" tabindex="0" role="group" aria-label="Interventions, to scroll">
      <table aria-label="Interventions on this feature">
        <thead>
          <tr>
            <th scope="col">prompt</th>
            <th scope="col">margin</th>
            ${!n&&u`<th scope="col">as it is</th>
                ${a.map(l=>u`<th scope="col">${y(l,40)}</th>`)}
                <th scope="col">controls</th>`}
          </tr>
        </thead>
        <tbody>
          ${t.map(({prompt:l,position:f,base:c,edited:p,control:h})=>{let d=e.prompts[l],m=[...h].filter(Number.isFinite),v=m.reduce((k,g)=>k+g,0)/m.length,b=`${w(p[0],2)} with the feature zeroed`,$=`${w(v,2)} with random ones zeroed`,_=`${w(c,2)} as it is, ${b}, ${$}`;return u`<tr key=${`${l}/${f}`}>
              <td>
                <bdi title=${d.text}>${y(d.text,n?26:60)}</bdi
                >${!n&&u` <span class="faint">at ${x(d.tokens[f])}</span>`}
              </td>
              <td>
                <svg width=${De} height=${_t} role="img" aria-label=${_}>
                  <title>${_}</title>
                  ${r<0&&s>0&&u`<line class="axis" x1=${i(0)} x2=${i(0)} y1="0" y2=${_t} />`}
                  <line class="axis" x1="6" x2=${De-6} y1=${_t/2} y2=${_t/2} />
                  ${m.map(k=>u`<line class="control" x1=${i(k)} x2=${i(k)} y1="4" y2=${_t-4} />`)}
                  <rect class="base" x=${i(c)-3.5} y=${_t/2-3.5} width="7" height="7" />
                  ${Number.isFinite(p[0])&&u`<circle class="edited" cx=${i(p[0])} cy=${_t/2} r="4.5" />`}
                </svg>
              </td>
              ${!n&&u`<td class="number">${w(c,2)}</td>
                  ${a.map((k,g)=>u`<td class="number">${w(p[g],2)}</td>`)}
                  <td class="number">${w(v,2)}</td>`}
            </tr>`})}
        </tbody>
      </table>
    </div>`}var Ns=({low:t,high:e})=>u`<p class="note">
  Margin in nats: <span class="mark square ink"></span> as it is,
  ${" "}<span class="mark circle feature"></span> feature zeroed,
  ${" "}<span class="mark bars"></span> matched random features zeroed. Attention is free to change. The axis
  runs from ${w(t,1)} to ${w(e,1)}.
</p>`;var Xn=4;function to({behaviour:t,layer:e,feature:n}){let o=R(`feature/${t}/${e}/${n}`),r=R(`behaviour/${t}`);return!o.value||!r.value?u`<${B} error=${o.error??r.error} />`:u`<${Ls} key=${`${e}/${n}`} feature=${o.value} behaviour=${r.value} />`}var Zn=t=>t.reviewer_label||t.label||"";function Ls({feature:t,behaviour:e}){let{graphs:n,twin:o}=t;return u`<main class="page feature">
    <h1>Feature L${t.layer} #${t.feature}</h1>
    <${eo} feature=${t} />
    <dl class="facts">
      ${t.active_prompts!=null&&u`<div>
            <dt>active in</dt>
            <dd>${t.active_prompts} of ${O(e.prompts.length,"prompt")}</dd>
          </div>
          <div title="over the prompts in which it is active">
            <dt>mean activation</dt>
            <dd>${w(t.mean_activation)}</dd>
          </div>
          <div>
            <dt>largest</dt>
            <dd>${w(t.max_activation)}</dd>
          </div>
          <div>
            <dt>confidence of label</dt>
            <dd>${w(t.confidence,2)}</dd>
          </div>`}
      ${o&&(o[0]!==t.layer||o[1]!==t.feature)&&u`<div title="it reads and writes the same directions">
          <dt>same as</dt>
          <dd>L${o[0]} #${o[1]}</dd>
        </div>`}
    </dl>
    <div class="columns">
      <section>
        <h2>Top prompts</h2>
        <${no} ...${{feature:t,behaviour:e}} />
      </section>
      <section>
        <h2>Goes with</h2>
        <${Us} list=${t.associations??[]} />
      </section>
      <section>
        <h2>Promotes</h2>
        <${Qn} list=${t.promoted??[]} />
      </section>
      <section>
        <h2>Suppresses</h2>
        <${Qn} list=${t.suppressed??[]} />
      </section>
    </div>
    <section>
      <h2>Interventions on it</h2>
      <${je} list=${t.interventions} behaviour=${e} />
    </section>
    <section>
      <h2>Activations over prompts and positions</h2>
      <${Yn} ...${{feature:t,behaviour:e}} />
    </section>
    ${n&&u`<section>
        <h2>Graphs it is in</h2>
        <${Is} ...${{graphs:n,behaviour:e}} />
      </section>`}
  </main>`}function fe({feature:t,behaviour:e}){return u`<div class="summary">
    ${t.reviewer&&u`<${eo} feature=${t} />`}
    <h3>Top prompts</h3>
    <${no} ...${{feature:t,behaviour:e}} most=${Xn} />
    <h3>Promotes</h3>
    <p>${(t.promoted??[]).map(([n])=>u`<bdi class="chip">${x(n)}</bdi> `)}</p>
    <h3>Suppresses</h3>
    <p>${(t.suppressed??[]).map(([n])=>u`<bdi class="chip">${x(n)}</bdi> `)}</p>
    ${t.interventions.length>0&&u`<h3>Zeroed, beside random features</h3>
        <${je} list=${t.interventions.slice(0,Xn)} behaviour=${e} small />`}
  </div>`}function eo({feature:t}){return u`<p class="label">
    ${Zn(t)?u`<bdi>${y(Zn(t),500)}</bdi>`:u`<span class="faint">no label</span>`}
    ${t.reviewer&&u` <span class="faint"
        >by <bdi>${y(t.reviewer,60)}</bdi>; automatic: <bdi>${y(t.label,90)}</bdi></span
      >`}
    ${t.reviewer_note&&u`<br /><bdi class="faint">${y(t.reviewer_note,500)}</bdi>`}
  </p>`}function no({feature:t,behaviour:e,most:n=20}){let{prompt:o,position:r,value:s}=t.activations??{prompt:[],position:[],value:[]},i=Math.max(t.max_activation??0,...s,1e-9),a=(t.top??[]).slice(0,n).map(([l,f,c])=>{let p=new Map([[f,c]]);for(let b=0;b<o.length;b++)o[b]===l&&p.set(r[b],s[b]);let{tokens:h,id:d}=e.prompts[l],m=u`<${zn} tokens=${h} values=${p} most=${i} />`,v=`graph/${e.behaviour}/${d}`;return u`<li key=${l}>
      <span class="number">${w(c,2)}</span>
      ${J(v)&&e.prompts[l].graph?u`<a href=${J(v)}>${m}</a>`:m}
    </li>`});return u`<ul class="top">
    ${a}
  </ul>`}function Us({list:t}){return t.length?u`<${$t}
    label="What the feature goes with"
    head=${["category","effect","as a bar","q","size"]}
    rows=${t.map(({category:e,effect:n,q:o,size:r,level:s})=>u`<tr class=${o<=.05?"":"weak"}>
          <td title=${s}><bdi>${y(e,80)}</bdi></td>
          <td class="number">${w(n,2)}</td>
          <td><${Gn} value=${n} /></td>
          <td class="number">${w(o)}</td>
          <td class="number">${r}</td>
        </tr>`)}
  />`:u`<p class="note">Active in too few prompts to test.</p>`}var Qn=({list:t})=>u`<${$t}
    label="Tokens"
    head=${["token","logit"]}
    rows=${t.map(([e,n])=>u`<tr>
          <td><bdi>${x(e)}</bdi></td>
          <td class="number">${w(n,2)}</td>
        </tr>`)}
  />`;function Is({graphs:t,behaviour:e}){let[n,o]=C(!1),r=new Map;t.prompt.forEach((a,l)=>r.set(a,r.get(a)||!!t.kept[l]));let s=[...r].sort((a,l)=>l[1]-a[1]),i=s.filter(([,a])=>a).length;return u`<p>
      ${O(s.length,"graph")}; pruning keeps it in ${i} (${D(i/s.length)}).
      ${s.length>12&&u` <button class="small" onClick=${()=>o(!n)}>${n?"fewer":"all"}</button>`}
    </p>
    <ul class="graphs">
      ${s.slice(0,n?s.length:12).map(([a,l])=>{let{id:f,text:c}=e.prompts[a],p=`graph/${e.behaviour}/${f}`,h=u`<bdi>${y(c,80)}</bdi>`;return u`<li key=${f} class=${l?"":"weak"}>
          ${J(p)?u`<a href=${J(p)}>${h}</a>`:h}${!l&&u` <span class="faint">pruned</span>`}
        </li>`})}
    </ul>`}var H=0,W=1,Q=2,wt=3,so=["feature","error","embedding","logit"],jt=class{constructor(e){Object.assign(this,e),Object.assign(this,e.nodes),this.size=this.kind.length,this.turns=e.turns.some(Boolean)?e.turns:[];let{source:n,target:o,weight:r}=e.edges;Object.assign(this,{source:n,target:o,weight:r,edgeCount:r.length}),this.inputs=oo(o,this.size),this.outputs=oo(n,this.size),this.byOriginal=new Map(Array.from(this.original,(i,a)=>[i,a])),this.logitWeight=new Float64Array(this.size);let s=this.size-e.logits.weight.length;e.logits.weight.forEach((i,a)=>this.logitWeight[s+a]=i),this.firstLogit=s,this.order=Array.from({length:this.size},(i,a)=>a),this.order.sort((i,a)=>this.layer[a]-this.layer[i])}strongest(e,n,o,r=1/0){let s=[];for(let i of n.of(e))(!o||o[i])&&s.push(i);return s.sort((i,a)=>Math.abs(this.weight[a])-Math.abs(this.weight[i])),s.slice(0,r)}label(e){return this.kind[e]!==H?"":this.labels[`${this.layer[e]}/${this.feature[e]}`]??""}name(e){let n=x(this.tokens[this.position[e]]);switch(this.kind[e]){case H:return`L${this.layer[e]} #${this.feature[e]}`;case W:return`error L${this.layer[e]}`;case Q:return`token ${n}`}let o=this.answers&&this.logits.against?.[0]>=0?` \u2212 ${x(this.answers[1])}`:"";return`output ${x(this.logits.text[e-this.firstLogit])}${o}`}place(e){let n=x(this.tokens[this.position[e]]);if(!this.turns.length)return n;let o=this.turns[this.position[e]];return o?`${n}, said by ${tt(o)}`:`${n}, of the chat template`}words(e){let n=this.label(e);return n?`${this.name(e)} ${y(n,60)}`:this.name(e)}identity(e){let n=this.roles[this.position[e]]??this.position[e]-this.tokens.length;return`${this.kind[e]}/${this.layer[e]}/${this.feature[e]}/${n}`}};function oo(t,e){let n=new Uint32Array(e+1);for(let s of t)n[s+1]++;for(let s=0;s<e;s++)n[s+1]+=n[s];let o=n.slice(),r=new Uint32Array(t.length);for(let s=0;s<t.length;s++)r[o[t[s]]++]=s;return{of:s=>r.subarray(n[s],n[s+1])}}function ro(t,e,n){let o=Fs(t,e),r=new Uint8Array(t.edgeCount),s=new Float64Array(t.size);for(let p=0;p<t.edgeCount;p++)o[t.source[p]]&&o[t.target[p]]&&(r[p]=1,s[t.target[p]]+=Math.abs(t.weight[p]));let i=io(t,o,r,s),a=new Float64Array(t.edgeCount);for(let p=0;p<t.edgeCount;p++){let h=t.target[p];r[p]&&s[h]>0&&(a[p]=Math.abs(t.weight[p])/s[h]*i[h])}let l=Os(a.filter(p=>p>0),n),f=a.map(p=>p>0&&p>=l),c={nodes:o,edges:Uint8Array.from(f)};return Ds(t,c),c}function Os(t,e){let n=t.reduce((s,i)=>s+i,0),o=Float64Array.from(t).sort().reverse(),r=0;for(let s of o)if((r+=s)/n>=e)return s;return o.length?o[o.length-1]:0}function Fs(t,e){let n=r=>t.cumulative[r]-t.influence[r]/(t.influence_total||1),o=r=>t.kind[r]===Q||t.kind[r]===wt;return Uint8Array.from(t.kind,(r,s)=>e>=1||o(s)||n(s)<e?1:0)}function io(t,e,n,o){let r=Float64Array.from(t.logitWeight,(s,i)=>e[i]?s:0);for(let s of t.order){if(!e[s]||!r[s]||!o[s])continue;let i=r[s]/o[s];for(let a of t.inputs.of(s))n[a]&&(r[t.source[a]]+=i*Math.abs(t.weight[a]))}return r}function Ds(t,{nodes:e,edges:n}){let o=new Uint32Array(t.size),r=new Uint32Array(t.size);for(let l=0;l<t.edgeCount;l++)n[l]&&(o[t.target[l]]++,r[t.source[l]]++);let s=l=>e[l]&&t.kind[l]<=W&&(!r[l]||t.kind[l]===H&&!o[l]),i=t.order.filter(s),a=(l,f,c)=>{n[l]&&(n[l]=0,f[c]--,i.push(c))};for(;i.length;){let l=i.pop();if(s(l)){e[l]=0;for(let f of t.inputs.of(l))a(f,r,t.source[f]);for(let f of t.outputs.of(l))a(f,o,t.target[f])}}}function ao(t,{nodes:e,edges:n}){let o=io(t,e,n,t.total),r=0,s=0,i=0,a=0,l=0;for(let c=0;c<t.size;c++){if(!e[c]||!o[c])continue;if(t.kind[c]===Q&&(r+=o[c]),t.kind[c]===W&&(s+=o[c]),l+=o[c],!t.total[c]){a+=o[c];continue}let p=0,h=0;for(let d of t.inputs.of(c)){if(!n[d])continue;let m=Math.abs(t.weight[d]);h+=m,t.kind[t.source[d]]!==W&&(p+=m)}a+=o[c]*p/t.total[c],i+=o[c]*Math.max(0,1-h/t.total[c])}let f=r+s+i;return{replacement:f?r/f:0,completeness:l?(a+i)/(l+i):0}}var Be=22;function js(t){let e=[];return t.forEach((n,o)=>{n&&(o&&t[o-1]===n?e.at(-1).till=o+1:e.push({role:n,from:o,till:o+1}))}),e}function Bt(t,{left:e,width:n,height:o},r,s){let i=l=>e[l]*r.k+r.x,a=js(t.turns).map(({role:l,from:f,till:c})=>({role:tt(l),from:Math.max(i(f)+3,s),till:Math.min(i(c)-3,n-2),y:o-Be+1})).filter(({from:l,till:f})=>f>l);return a.map((l,f)=>{let c=f?a[f-1].till:2*s-l.from,p=f+1<a.length?a[f+1].from:2*n-l.till;return{...l,room:l.till-l.from+Math.min(l.from-c,p-l.till)}})}var G={left:64,right:20,top:26,bottom:46},He=15,Bs=.55;function lo(t,e,n,o){let r=t.n_layers+2,s=t.tokens.length,i=new Map,a=[];for(let $=0;$<t.size;$++)e[$]&&a.push($);a.sort(($,_)=>t.kind[$]-t.kind[_]||t.influence[_]-t.influence[$]);for(let $ of a){let _=(t.layer[$]+1)*s+t.position[$];i.has(_)?i.get(_).push($):i.set(_,[$])}let l=new Float64Array(s).fill(Bs);for(let[$,_]of i)l[$%s]=Math.max(l[$%s],Math.sqrt(_.length));let c=(n-G.left-G.right)/l.reduce(($,_)=>$+_,0),p=new Float64Array(s+1).fill(G.left);l.forEach(($,_)=>p[_+1]=p[_]+$*c);let h=G.bottom+(t.turns.length?Be:0),d=(o-G.top-h)/r,m=Float64Array.from({length:r},($,_)=>o-h-(_+.5)*d),v=new Float32Array(t.size),b=new Float32Array(t.size);for(let[$,_]of i){let k=$%s;Hs(_,p[k],p[k+1],m[Math.floor($/s)],d,v,b)}return{x:v,y:b,shown:a,left:p,middle:m,band:d,width:n,height:o,foot:h}}function Hs(t,e,n,o,r,s,i){let a=Math.max(n-e-8,6),l=r*.8,f=t.length,c=Math.max(1,Math.min(f,Math.max(Math.floor(a/He),Math.ceil(Math.sqrt(f*a/l))))),p=Math.ceil(f/c),h=Math.min(He,a/c),d=Math.min(He,l/p);t.forEach((m,v)=>{let b=Math.floor(v/c),$=Math.min(c,f-b*c);s[m]=(e+n)/2+(v%c-($-1)/2)*h,i[m]=o+((p-1)/2-b)*d})}function co({shown:t,x:e,y:n},o,r,s){let i=-1,a=s*s;for(let l of t){let f=(e[l]-o)**2+(n[l]-r)**2;f<a&&(a=f,i=l)}return i}function uo({shown:t,x:e,y:n},o,r,s){if(o<0)return t.reduce((l,f)=>l<0||n[f]<n[l]?f:l,-1);let i=o,a=1/0;for(let l of t){let f=(e[l]-e[o])*r+(n[l]-n[o])*s,c=Math.abs((e[l]-e[o])*s)+Math.abs((n[l]-n[o])*r);l!==o&&f>.5&&f+2.5*c<a&&(a=f+2.5*c,i=l)}return i}var fo="12px system-ui, sans-serif",We=document.createElement("canvas").getContext("2d");function qe(t,e,n){We.font=fo;let{width:o,height:r}=e,s=Bt(t,e,n,G.left).map(({role:i,from:a,till:l,y:f,room:c})=>({text:ho(i,c),x:(a+l)/2,y:f+10,anchor:"middle"}));return[...Ws(e,n),...qs(t,e,n),...s].filter(({x:i,y:a})=>i<=o&&a<=r)}function Ws({middle:t,band:e,height:n,foot:o},r){let s=Math.ceil(13/(e*r.k)),i=t.length-1;return Array.from(t,(a,l)=>({text:l===0?"token":l===i?"output":`L${l-1}`,x:G.left-14,y:a*r.k+r.y,anchor:"end"})).filter(({y:a},l)=>a>=6&&a<=n-o&&(l===0||l===i||l%s===0))}function qs(t,{left:e,height:n,foot:o},r){return t.tokens.map((i,a)=>{let l=e[a]*r.k+r.x,f=e[a+1]*r.k+r.x-l;return{text:ho(x(i),f-4),x:l+f/2,y:n-o+18+14*(f<50?a%2:0),anchor:"middle",template:t.turns.length>0&&!t.turns[a]}}).filter(({x:i})=>i>=G.left)}function po(t,e,n,o,r){let{middle:s,band:i,width:a,height:l,foot:f}=n;t.strokeStyle=r.faint,t.lineWidth=1,t.globalAlpha=.35,t.beginPath();for(let c=1;c<s.length;c++){let p=(s[c]+i/2)*o.k+o.y;t.moveTo(G.left-8,p),t.lineTo(a,p)}t.stroke(),t.globalAlpha=1,t.fillStyle=r.paper,t.fillRect(0,0,G.left-8,l),t.fillRect(0,l-f+6,a,f),t.font=fo,t.textBaseline="middle";for(let{text:c,x:p,y:h,anchor:d,template:m}of qe(e,n,o))t.textAlign=d==="end"?"right":"center",t.fillStyle=m?r.faint:r.ink,t.fillText(c,p,h);t.strokeStyle=r.ink;for(let{from:c,till:p,y:h}of Bt(e,n,o,G.left)){t.beginPath(),t.moveTo(c,h-4);for(let[d,m]of[[c,h],[p,h],[p,h-4]])t.lineTo(d,m);t.stroke()}}function ho(t,e){let n=Math.max(e<50?2*e:e,18);if(We.measureText(t).width<=n)return t;let o=t.slice(0,40);for(;o.length>1&&We.measureText(`${o}\u2026`).width>n;)o=o.slice(0,-1);return`${o}\u2026`}var ut=4.5,mo=300,zs=["ink","faint","paper","up","down","feature","error","embedding","logit","chosen","shared"];function $o(t){let e=getComputedStyle(t);return Object.fromEntries(zs.map(n=>[n,e.getPropertyValue(`--${n}`).trim()]))}function ze(t){let e=t.slice(1);return[0,2,4].map(n=>Number.parseInt(e.slice(n,n+2),16))}function _o(t,e,n,o,r){let s=0;for(let p of e)s+=p;let i=new Float32Array(5*s),{x:a,y:l}=n,f=Math.min(1,Math.sqrt(2500/Math.max(s,1))),c=0;for(let p=0;p<e.length;p++){if(!e[p])continue;let h=t.source[p],d=t.target[p],m=t.weight[p],b=(.06+.94*Math.min(1,Math.abs(m)/(t.total[d]||1))**.7)*f;i[c++]=(a[h]*o.k+o.x)*r,i[c++]=(l[h]*o.k+o.y)*r,i[c++]=(a[d]*o.k+o.x)*r,i[c++]=(l[d]*o.k+o.y)*r,i[c++]=m<0?-b:b}return i}function Gs(t,e,n,o,r){if(e===H)return t.moveTo(n+r,o),t.arc(n,o,r,0,2*Math.PI);if(e===Q)return t.rect(n-r,o-r,2*r,2*r);let[s,i]=e===W?[r*1.25,r*1.25]:[r*.9,r*1.2];t.moveTo(n,o-r*1.3),t.lineTo(n+i,e===W?o:o+s),e===W&&t.lineTo(n,o+s),t.lineTo(n-i,e===W?o:o+s),t.closePath()}function vo(t,e,n,o,r,s){let i=a=>[n.x[a]*o.k+o.x,n.y[a]*o.k+o.y];for(let[a,l]of["feature","error","embedding","logit"].entries())for(let f of[!0,!1]){t.beginPath();for(let c of n.shown)e.kind[c]!==a||!!s?.[c]!==f||Gs(t,a,...i(c),ut);t.globalAlpha=f?.25:1,t.fillStyle=a===W?r.paper:r[l],t.fill(),t.strokeStyle=a===W?r.error:r.paper,t.lineWidth=a===W?1.4:1,t.stroke()}t.globalAlpha=1}function Ht(t,e,n,o,r,s=ut+3,i=[]){t.beginPath(),t.setLineDash(i);for(let a of o){let l=e.x[a]*n.k+n.x,f=e.y[a]*n.k+n.y;t.moveTo(l+s,f),t.arc(l,f,s,0,2*Math.PI)}t.strokeStyle=r,t.lineWidth=2,t.stroke(),t.setLineDash([])}function bo(t,e,n,o,r,s,i){for(let a of[e.strongest(s,e.inputs,r,mo),e.strongest(s,e.outputs,r,mo)]){let l=a.length?Math.abs(e.weight[a[0]]):1;for(let f of a.reverse()){let c=e.source[f],p=e.target[f],h=Math.abs(e.weight[f])/l;t.beginPath(),t.moveTo(n.x[c]*o.k+o.x,n.y[c]*o.k+o.y),t.lineTo(n.x[p]*o.k+o.x,n.y[p]*o.k+o.y),t.strokeStyle=e.weight[f]<0?i.down:i.up,t.globalAlpha=.25+.7*h,t.lineWidth=.6+3*h,t.stroke()}}t.globalAlpha=1}var yo=`(()=>{function k({width:o,height:a,lines:t,colours:p}){let c=new Float32Array(o*a),s=new Float32Array(o*a);for(let n=0;n<t.length;n+=5){let m=t[n+4];U(m<0?s:c,o,a,t[n],t[n+1],t[n+2],t[n+3],Math.abs(m))}return q(c,s,p)}function U(o,a,t,p,c,s,n,m){let r=Math.abs(n-c)>Math.abs(s-p),[e,l,f,M]=r?[c,p,n,s]:[p,c,s,n];e>f&&([e,f,l,M]=[f,e,M,l]);let F=r?t:a,x=r?a:t,i=f>e?(M-l)/(f-e):0,h=Math.max(0,Math.ceil(e)),B=Math.min(F-1,Math.floor(f)),C=r?a:1,A=r?1:a;for(let u=h,b=l+(h-e)*i;u<=B;u++,b+=i){if(b<0||b>=x-1)continue;let g=b|0,w=b-g,j=u*C+g*A;o[j]+=m*(1-w),o[j+A]+=m*w}}function q(o,a,[[t,p,c],[s,n,m]]){let r=new Uint8ClampedArray(4*o.length);for(let e=0,l=0;e<o.length;e++,l+=4){let f=o[e]+a[e];if(!f)continue;let M=o[e]/f;r[l]=s+M*(t-s),r[l+1]=n+M*(p-n),r[l+2]=m+M*(c-m),r[l+3]=255*(1-Math.exp(-f))}return r}onmessage=({data:o})=>{let a=performance.now(),t=k(o),{job:p,width:c,height:s}=o;postMessage({job:p,width:c,height:s,pixels:t,took:performance.now()-a},[t.buffer])};})();
`;function go({width:t,height:e,lines:n,colours:o}){let r=new Float32Array(t*e),s=new Float32Array(t*e);for(let i=0;i<n.length;i+=5){let a=n[i+4];Js(a<0?s:r,t,e,n[i],n[i+1],n[i+2],n[i+3],Math.abs(a))}return Ys(r,s,o)}function Js(t,e,n,o,r,s,i,a){let l=Math.abs(i-r)>Math.abs(s-o),[f,c,p,h]=l?[r,o,i,s]:[o,r,s,i];f>p&&([f,p,c,h]=[p,f,h,c]);let d=l?n:e,m=l?e:n,v=p>f?(h-c)/(p-f):0,b=Math.max(0,Math.ceil(f)),$=Math.min(d-1,Math.floor(p)),_=l?e:1,k=l?1:e;for(let g=b,M=c+(b-f)*v;g<=$;g++,M+=v){if(M<0||M>=m-1)continue;let S=M|0,T=M-S,L=g*_+S*k;t[L]+=a*(1-T),t[L+k]+=a*T}}function Ys(t,e,[[n,o,r],[s,i,a]]){let l=new Uint8ClampedArray(4*t.length);for(let f=0,c=0;f<t.length;f++,c+=4){let p=t[f]+e[f];if(!p)continue;let h=t[f]/p;l[c]=s+h*(n-s),l[c+1]=i+h*(o-i),l[c+2]=a+h*(r-a),l[c+3]=255*(1-Math.exp(-p))}return l}var de=class{constructor(e){this.done=e,this.waiting=null,this.busy=!1;try{this.address=URL.createObjectURL(new Blob([yo],{type:"text/javascript"})),this.worker=new Worker(this.address),this.worker.onmessage=({data:n})=>this.finish(n),this.worker.onerror=n=>{n.preventDefault(),this.worker=null,this.busy=!1,this.last&&this.paint(this.last)}}catch{this.worker=null}}paint(e){this.last=e,this.busy?this.waiting=e:this.worker?(this.busy=!0,this.worker.postMessage(e)):this.finish({...e,pixels:go(e),took:0})}finish(e){this.busy=!1;let n=this.waiting;this.waiting=null,this.done(e),n&&this.paint(n)}end(){this.worker?.terminate(),URL.revokeObjectURL(this.address)}};var Xs=12,wo={ArrowUp:[0,-1],ArrowDown:[0,1],ArrowLeft:[-1,0],ArrowRight:[1,0]},Zs=30,Wt=class extends et{box=Ct();edgesRef=Ct();nodesRef=Ct();overRef=Ct();view={k:1,x:0,y:0};hovered=-1;componentDidMount(){this.painter=new de(e=>this.painted(e)),this.observer=new ResizeObserver(()=>this.resized()),this.observer.observe(this.box.current),this.box.current.addEventListener("wheel",this.wheel,{passive:!1}),this.unsubscribe=st.subscribe(()=>this.width&&requestAnimationFrame(()=>this.everything())),this.resized(),this.props.onReady?.(this)}componentWillUnmount(){this.painter.end(),this.observer.disconnect(),this.unsubscribe()}componentDidUpdate(e){let{graph:n,nodes:o,edges:r}=this.props;n!==e.graph&&(this.view={k:1,x:0,y:0}),(n!==e.graph||o!==e.nodes)&&this.place(),n!==e.graph||o!==e.nodes||r!==e.edges?this.everything():this.foreground()}resized(){let{clientWidth:e,clientHeight:n}=this.box.current;if(!(!e||!n||e===this.width&&n===this.height)){Object.assign(this,{width:e,height:n,ratio:Math.min(devicePixelRatio||1,2)});for(let o of[this.edgesRef,this.nodesRef,this.overRef])o.current.width=Math.round(e*this.ratio),o.current.height=Math.round(n*this.ratio);this.place(),this.everything()}}place(){this.width&&(this.placed=lo(this.props.graph,this.props.nodes,this.width,this.height))}everything(){this.placed&&(this.ink=$o(this.box.current),this.background(),this.foreground())}background(){let{graph:e,edges:n}=this.props,{width:o,height:r}=this.edgesRef.current,s=_o(e,n,this.placed,this.view,this.ratio);this.painter.paint({job:{...this.view},width:o,height:r,lines:s,colours:[ze(this.ink.up),ze(this.ink.down)]})}painted({job:e,pixels:n,width:o,height:r}){let s=this.edgesRef.current;!s||s.width!==o||s.height!==r||(s.getContext("2d").putImageData(new ImageData(n,o,r),0,0),this.drawn=e,this.shift(),this.box.current.dataset.drawn=String(Number(this.box.current.dataset.drawn??0)+1))}shift(){let{k:e,x:n,y:o}=this.view;for(let[r,s=this.view]of[[this.edgesRef,this.drawn],[this.nodesRef,this.nodesDrawn]]){let i=e/s.k,a=n-s.x*i,l=o-s.y*i;r.current.style.transform=`translate(${a}px, ${l}px) scale(${i})`}}cleared(e){let n=e.current.getContext("2d");return n.setTransform(this.ratio,0,0,this.ratio,0,0),n.clearRect(0,0,this.width,this.height),n}foreground(){if(!this.placed||!this.ink)return;let{graph:e,matches:n,shared:o,pins:r}=this.props,s=this.cleared(this.nodesRef),i=n?.length?Uint8Array.from(e.kind,(l,f)=>l<2&&!n.includes(f)?1:0):null;vo(s,e,this.placed,this.view,this.ink,i);let a=new Set(this.placed.shown);o&&Ht(s,this.placed,this.view,o.filter(l=>a.has(l)),this.ink.shared,ut+2.5),r&&Ht(s,this.placed,this.view,r.filter(l=>a.has(l)),this.ink.ink,ut+3,[3,2]),this.nodesDrawn={...this.view},this.shift(),this.over()}over(){if(!this.placed||!this.ink)return;let{graph:e,edges:n,selected:o}=this.props,r=this.cleared(this.overRef),s=this.props.nodes,i=this.hovered>=0?this.hovered:o;i>=0&&s[i]&&(bo(r,e,this.placed,this.view,n,i,this.ink),Ht(r,this.placed,this.view,[i],this.ink.chosen)),o>=0&&o!==i&&s[o]&&Ht(r,this.placed,this.view,[o],this.ink.chosen),po(r,e,this.placed,this.view,this.ink)}at({clientX:e,clientY:n}){let o=this.box.current.getBoundingClientRect(),{k:r,x:s,y:i}=this.view;return co(this.placed,(e-o.left-s)/r,(n-o.top-i)/r,Xs/r)}hover(e){e!==this.hovered&&(this.hovered=e,this.box.current.style.cursor=e>=0?"pointer":"",this.over(),this.props.onHover?.(e,e>=0&&[this.placed.x[e]*this.view.k+this.view.x,this.placed.y[e]*this.view.k+this.view.y,this.width]))}move=e=>{if(!this.grip)return this.hover(this.at(e));let n=e.clientX-this.grip.x,o=e.clientY-this.grip.y;!this.grip.moved&&Math.hypot(n,o)<4||(this.grip.moved=!0,this.look({k:this.view.k,x:this.grip.view.x+n,y:this.grip.view.y+o}))};down=e=>{e.button===0&&(this.grip={x:e.clientX,y:e.clientY,view:this.view}),this.box.current.setPointerCapture?.(e.pointerId)};up=e=>{let n=this.grip;if(this.grip=null,!n)return;if(n.moved)return this.everything();let o=this.at(e);o>=0&&(e.shiftKey||e.ctrlKey||e.metaKey)?this.props.onPin?.(o):this.props.onSelect(o)};wheel=e=>{e.preventDefault();let n=this.box.current.getBoundingClientRect();this.zoom(Math.exp(-e.deltaY*.0015),e.clientX-n.left,e.clientY-n.top)};zoom(e,n=this.width/2,o=this.height/2){let{k:r,x:s,y:i}=this.view,a=Math.min(Zs,Math.max(1,r*e));this.look(a===1?{k:1,x:0,y:0}:{k:a,x:n-(n-s)*a/r,y:o-(o-i)*a/r}),clearTimeout(this.later),this.later=setTimeout(()=>this.box.current&&this.everything(),120)}look(e){this.view=e,this.shift(),this.over()}keys=e=>{let{current:n,onSelect:o,onPin:r,graph:s,edges:i}=this.props,a=n();if(e.ctrlKey||e.metaKey||e.altKey)return;let l=(f,c)=>f.length&&o(c[f[0]]);if(wo[e.key])o(uo(this.placed,a,...wo[e.key]));else if(e.key==="Enter"||e.key==="p")a>=0&&r?.(a);else if(e.key==="i")a>=0&&l(s.strongest(a,s.inputs,i,1),s.source);else if(e.key==="o")a>=0&&l(s.strongest(a,s.outputs,i,1),s.target);else if(e.key==="+"||e.key==="=")this.zoom(1.3);else if(e.key==="-")this.zoom(1/1.3);else if(e.key==="Escape")o(-1);else return;e.preventDefault()};render({label:e,description:n}){return u`<div
      class="picture"
      ref=${this.box}
      tabindex="0"
      role="application"
      aria-roledescription="graph"
      aria-label=${e}
      aria-describedby=${n}
      onPointerMove=${this.move}
      onPointerDown=${this.down}
      onPointerUp=${this.up}
      onPointerLeave=${()=>this.hover(-1)}
      onKeyDown=${this.keys}
    >
      <canvas ref=${this.edgesRef} aria-hidden="true"></canvas>
      <canvas ref=${this.nodesRef} aria-hidden="true"></canvas>
      <canvas ref=${this.overRef} aria-hidden="true"></canvas>
    </div>`}};var qt={share:.8,edges:.98},Ge=(t,e)=>{let n=Number.parseFloat(t);return n>=0&&n<=1?n:e},Qs=t=>(t??"").split(";").filter(Boolean).map(e=>{let[n,o=""]=e.split(":");return{name:decodeURIComponent(n),members:o.split(".").map(Number)}}),tr=t=>t.map(({name:e,members:n})=>`${encodeURIComponent(e)}:${n.join(".")}`).join(";");function vt(t){let{params:e}=z.value,[n,o]=t.thresholds,r=a=>t.byOriginal.get(a)??-1,s=Bn(e.pin).map(r).filter(a=>a>=0),i=Qs(e.groups).map(({name:a,members:l})=>({name:a,members:l.map(r).filter(f=>f>=0)})).filter(({members:a})=>a.length);return{selected:e.sel?r(Number(e.sel)):-1,pins:s,groups:i,share:Ge(e.share,n??qt.share),edgeShare:Ge(e.edges,o??qt.edges),sign:["up","down"].includes(e.sign)?e.sign:"both",least:Ge(e.min,0),layers:[Number(e.from??0)||0,Math.min(Number(e.to??t.n_layers-1),t.n_layers-1)],query:e.q??"",beside:e.vs??""}}var er=(t,e)=>e.map(n=>t.original[n]).join(","),Ke=(t,e)=>P({sel:e>=0?t.original[e]:""});function pe(t,e){let{pins:n,groups:o}=vt(t),r=o.map(({name:i,members:a})=>({name:i,members:a.filter(l=>l!==e)})),s=n.includes(e)?n.filter(i=>i!==e):[...n,e];P({pin:er(t,s),...n.includes(e)?Ve(t,r):{}},{step:!0})}var Ve=(t,e)=>({groups:tr(e.filter(({members:n})=>n.length).map(({name:n,members:o})=>({name:n,members:o.map(r=>t.original[r])})))});function ko(t,e,n){let o=vt(t).groups.map(({name:s,members:i})=>({name:s,members:i.filter(a=>!e.includes(a))})),r=o.find(s=>s.name===n);r?r.members.push(...e):o.push({name:n,members:e}),P(Ve(t,o),{step:!0})}function xo(t,e){P(Ve(t,vt(t).groups.filter(n=>n.name!==e)),{step:!0})}var Mo=()=>P({pin:"",groups:""},{step:!0});function So(t,e,{sign:n,least:o,layers:r}){let s=a=>t.kind[a]>1||t.layer[a]>=r[0]&&t.layer[a]<=r[1],i=Uint8Array.from(t.kind,(a,l)=>s(l)?1:0);return e.map((a,l)=>{if(!a||!i[t.source[l]]||!i[t.target[l]])return 0;let f=t.weight[l];return n==="up"&&f<0||n==="down"&&f>0?0:Math.abs(f)>=o*t.total[t.target[l]]?1:0})}function Ao(t,e,n){let o=n.toLowerCase().split(/\s+/).filter(Boolean);if(!o.length)return[];let r=[];for(let s=0;s<t.size;s++){let i=`${t.name(s)} ${t.label(s)} ${t.tokens[t.position[s]]}`.toLowerCase();e[s]&&o.every(a=>i.includes(a))&&r.push(s)}return r.sort((s,i)=>t.influence[i]-t.influence[s])}var nr=12;function Co({graph:t,chosen:e,shown:n,matches:o,behaviour:r,prompt:s,select:i,shared:a}){let[l,f]=t.thresholds;return u`<section class="controls" aria-label="What is shown">
    <h2>Prune</h2>
    <${Je}
      name="share"
      label="Influence of nodes"
      value=${e.share}
      usual=${l??qt.share}
    />
    <${Je}
      name="edges"
      label="Influence of edges"
      value=${e.edgeShare}
      usual=${f??qt.edges}
    />
    ${t.pruned&&u`<p class="note">
        This page holds the ${t.size} of ${t.count.nodes} nodes that pruning kept.
      </p>`}
    ${t.scores.kept_weight<.999&&u`<p class="note">
        The store holds ${D(t.scores.kept_weight)} of all edge weight; scores are of these edges.
      </p>`}
    <h2>Filter edges</h2>
    <fieldset class="signs">
      <legend>Sign</legend>
      ${[["both","both"],["up","positive"],["down","negative"]].map(([c,p])=>u`<label>
            <input
              type="radio"
              name="sign"
              checked=${e.sign===c}
              onChange=${()=>P({sign:c==="both"?"":c})}
            />${p}</label
          >`)}
    </fieldset>
    <${Je} name="min" label="Least share of an input" value=${e.least} usual=${0} most=${.5} />
    <div class="layers">
      <span id="layers">Layers</span>
      ${["from","to"].map((c,p)=>u`<label
            >${c}
            <input
              type="number"
              min="0"
              max=${t.n_layers-1}
              value=${e.layers[p]}
              onInput=${h=>P({[c]:h.currentTarget.value})}
          /></label>`)}
    </div>
    <h2>Find</h2>
    <input
      type="search"
      aria-label="Find features by label, layer, number or token"
      placeholder="label, L3, token …"
      value=${e.query}
      onInput=${c=>P({q:c.currentTarget.value})}
      onKeyDown=${c=>c.key==="Enter"&&o.length&&i(o[0])}
    />
    ${e.query&&u`<p class="note" role="status">${o.length} found</p>
        <ul class="found">
          ${o.slice(0,nr).map(c=>u`<li key=${c}>
                <button class="link" onClick=${()=>i(c)}>
                  ${t.name(c)} <span class="faint">${x(t.tokens[t.position[c]])}</span>
                  <bdi>${y(t.label(c),60)}</bdi>
                </button>
              </li>`)}
        </ul>`}
    ${s&&u`<${or} ...${{graph:t,chosen:e,behaviour:r,prompt:s,shared:a}} />`}
    <h2>Legend</h2>
    <${sr} ...${{graph:t}} />
  </section>`}function Je({name:t,label:e,value:n,usual:o,most:r=1}){return u`<label class="slider"
    ><span>${e}</span><output>${D(n)}</output>
    <input
      type="range"
      name=${t}
      min="0"
      max=${r}
      step="0.005"
      value=${n}
      aria-valuetext=${D(n)}
      onInput=${({currentTarget:{value:s}})=>P({[t]:Number(s)===o?"":s})}
  /></label>`}function or({graph:t,chosen:e,behaviour:n,prompt:o,shared:r}){let{value:s}=R(`behaviour/${n}`),i=(s?.prompts??[]).filter(({id:l,graph:f})=>f&&l!==o&&j(`graph/${n}/${l}`));if(!i.length)return null;let a=i.find(({id:l})=>l===t.partner);return u`<h2>Beside it</h2>
    ${a&&e.beside!==a.id&&u`<button onClick=${()=>P({vs:a.id},{step:!0})}>its minimal pair</button>`}
    <select
      aria-label="Another graph beside this one"
      value=${e.beside}
      onChange=${l=>P({vs:l.currentTarget.value},{step:!0})}
    >
      <option value="">none</option>
      ${i.map(({id:l,text:f})=>u`<option key=${l} value=${l}>${y(f,60)}</option>`)}
    </select>
    ${r&&u`<p class="note">${r[0].length} nodes are in both.</p>`}`}function sr({graph:t}){return u`<ul class="legend">
    ${[["feature","circle","feature"],["error","diamond","error"],["embedding","square","token"],["logit","triangle","output"]].map(([n,o,r])=>u`<li><span class=${`mark ${o} ${n}`}></span>${r}</li>`)}
    <li><span class="stroke up"></span>raises</li>
    <li><span class="stroke down"></span>lowers</li>
    </ul>
    ${t.turns.length>0&&u`<p class="note">
        Brackets below tokens say whose turn of the conversation they are; grey tokens are those of the chat
        template.
      </p>`}`}var Xe=(t,e,...n)=>{let o=e.model?[`model=${JSON.stringify(e.model)}`]:[];return`cs.${t}(${[JSON.stringify(e.asked),...n,...o].join(", ")})`};function Eo(t,e){let n=e.map(o=>`    (${t.layer[o]}, ${t.position[o]}, ${t.feature[o]}): 0.0,  # was `+t.activation[o].toPrecision(4));return Xe("intervene",t,`{
${n.join(`
`)}
}`)}function kt(t,e){let n=Ro(t,t.source[e]),o=t.target[e];if(t.aggregated||t.kind[o]===W||t.feature[o]<0)return"";if(t.kind[o]!==wt)return`${n}>${Ro(t,o)}`;let r=t.logits.against[o-t.firstLogit];return`${n}>logit/${t.feature[o]}${r>=0?`/${r}`:""}`}function Ro(t,e){if(t.kind[e]===Q)return`embedding/${t.position[e]}`;let n=`${t.layer[e]}/${t.position[e]}`;return t.kind[e]===H?`feature/${n}/${t.feature[e]}`:`error/${n}`}var Po=(t,e)=>Xe("heads",t,JSON.stringify([kt(t,e)]));function No(t,e){if(typeof t.asked!="string")return"";let n=t.model?` --profile ${Ye(t.model)}`:"";return`circuitstore attention --edge ${Ye(kt(t,e))}${n} -- ${Ye(t.asked)}`}var Ye=t=>`'${t.replaceAll("'","'\\''")}'`;function Lo(t,e,{layer:n,head:o}){let r=t.position[t.target[e]],s=t.position[t.source[e]];return Xe("attention",t,`layer=${n}, head=${o}, query=${r}, key=${s}`)}function xt({button:t,title:e,label:n,made:o}){let[r,s]=C(""),[i,a]=C(!1);return u`<button title=${e} onClick=${async()=>{let f=o();s(f),a(await navigator.clipboard?.writeText(f).then(()=>!0,()=>!1))}}>${t}</button>
    <span role="status">${i&&"copied"}</span>
    ${r&&u`<textarea readonly aria-label=${n} rows="4" cols="60" value=${r}></textarea>`}`}var Ze=8;function Io({graph:t,e}){let n=kt(t,e),o=t.heads.find(({edge:s})=>s===n),r=No(t,e);return u`<div class="heads">
    ${o?u`<${ir} ...${{graph:t,e,known:o}} />`:u`<p class="note">The store does not say through which heads this edge goes. Ask:</p>`}
    <p class="row">
      <${xt}
        button="Heads as Python"
        title="A call that splits this edge over heads"
        label="Python of heads"
        made=${()=>Po(t,e)}
      />
      ${r&&u`<${xt}
          button="Heads as command"
          title="A command that splits this edge over heads"
          label="Command of heads"
          made=${()=>r}
        />`}
    </p>
  </div>`}function ir({graph:t,e,known:n}){let o=n.loading[0];return u`<table aria-label="Heads of the edge">
      <thead>
        <tr>
          <th scope="col">last head</th>
          <th scope="col">loading</th>
        </tr>
      </thead>
      <tbody>
        ${n.loading.slice(0,Ze).map(({layer:r,head:s,value:i})=>u`<tr key=${`${r}/${s}`}>
            <td>L${r} head ${s}</td>
            <td class="number">${w(i)}</td>
          </tr>`)}
        <tr>
          <td>none</td>
          <td class="number">${w(n.direct)}</td>
        </tr>
      </tbody>
    </table>
    <p class="note">
      All ${n.count} heads and the paths through none sum to the edge, ${w(n.weight)}.
    </p>
    ${t.looks.filter(({layer:r,head:s})=>n.loading.slice(0,Ze).some(i=>i.layer===r&&i.head===s)).map(r=>u`<${ar} ...${{graph:t,look:r}} />`)}
    ${o&&u`<p class="row">
        <${xt}
          button=${`Why L${o.layer} head ${o.head} looks there`}
          title="A call that explains the score of this head"
          label="Python of attention"
          made=${()=>Lo(t,e,o)}
        />
      </p>`}`}var ar=({graph:t,look:{layer:e,head:n,query:o,key:r,score:s,weight:i,pairs:a}})=>u`<p>
    L${e} head ${n} looks from ${x(t.tokens[o])} to ${x(t.tokens[r])}: score
    ${" "}${w(s)} nats, attention ${w(i)}.
  </p>
  <ul class="pairs">
    ${a.slice(0,Ze).map(([l,f,c])=>u`<li>
        <span class="number">${w(l)}</span> ${Uo(t,f)} with ${Uo(t,c)}
      </li>`)}
  </ul>`;function Uo(t,[e,n,o,r]){return e==="bias"?e:`${{feature:`L${n} #${r}`,error:`error L${n}`}[e]??"token"} at ${x(t.tokens[o])}`}var Fo=12;function Do({graph:t,chosen:e,shown:n,behaviour:o,select:r,pin:s}){let i=e.selected;if(i<0)return u`<section class="panel" aria-label="Node">
      <h2>No node is chosen</h2>
      <p class="faint">Click one, or press an arrow key on the picture.</p>
      <${lr} ...${{graph:t,shown:n,select:r}} />
    </section>`;let a=e.pins.includes(i),l=t.kind[i];return u`<section class="panel" aria-label="Node">
    <h2>${t.name(i)} <span class="faint">at ${t.place(i)}</span></h2>
    ${t.label(i)&&u`<p class="label"><bdi>${y(t.label(i),300)}</bdi></p>`}
    <p class="row">
      <button aria-pressed=${a} onClick=${()=>s(i)}>${a?"Unpin":"Pin"}</button>
      ${o&&l===H&&j(`feature/${o}/${t.layer[i]}/${t.feature[i]}`)&&u`<a href=${F(["feature",o,t.layer[i],t.feature[i]])}>Feature page</a>`}
    </p>
    <dl class="facts">
      <div>
        <dt>influence</dt>
        <dd>${D(t.influence[i])}</dd>
      </div>
      ${l===H&&u`<div>
          <dt>activation</dt>
          <dd>${w(t.activation[i])}</dd>
        </div>`}
      ${t.frequency&&u`<div>
          <dt>in graphs</dt>
          <dd>${D(t.frequency[i])}</dd>
        </div>`}
      ${t.direct_attribution&&u`<div title="nats of margin, by its own edge">
            <dt>direct</dt>
            <dd>${w(t.direct_attribution[i])}</dd>
          </div>
          <div title="nats of margin, by all paths through features">
            <dt>total</dt>
            <dd>${w(t.total_attribution[i])}</dd>
          </div>`}
    </dl>
    ${!n.nodes[i]&&u`<p class="note">Pruned away at this setting.</p>`}
    ${l!==Q&&u`<${Oo}
        title="Inputs"
        ...${{graph:t,select:r}}
        edges=${t.strongest(i,t.inputs,n.edges)}
        end=${t.source}
      />`}
    <${Oo}
      title="Outputs"
      ...${{graph:t,select:r}}
      edges=${t.strongest(i,t.outputs,n.edges)}
      end=${t.target}
    />
    ${o&&l===H&&u`<${cr} ...${{behaviour:o}} layer=${t.layer[i]} feature=${t.feature[i]} />`}
  </section>`}function lr({graph:t,shown:e,select:n}){let o=Array.from(t.kind.keys()).filter(i=>e.nodes[i]&&t.kind[i]!==wt),r=o.filter(i=>t.kind[i]===H),s=r.length?r:o;return s.sort((i,a)=>t.influence[a]-t.influence[i]),u`<h3>Most influence</h3>
    <ul class="ends">
      ${s.slice(0,Fo).map(i=>u`<li key=${i}>
            <button class="link" onClick=${()=>n(i)}>
              <span class="number">${D(t.influence[i])}</span> <${jo} ...${{graph:t,i}} />
            </button>
          </li>`)}
    </ul>`}var jo=({graph:t,i:e})=>u`<span class="name"
    >${t.name(e)}
    ${t.kind[e]!==Q&&u`<span class="faint">${x(t.tokens[t.position[e]])}</span>`}
    ${t.label(e)&&u` <bdi>${y(t.label(e),80)}</bdi>`}</span
  >`;function Oo({title:t,graph:e,edges:n,end:o,select:r}){let[s,i]=C(-1);return u`<h3>${t} <span class="faint">${O(n.length,"edge")}</span></h3>
    <ul class="ends" aria-label=${t}>
      ${n.slice(0,Fo).map(a=>{let l=e.weight[a]/(e.total[e.target[a]]||1);return u`<li key=${a}>
          <button
            class="link"
            onClick=${()=>r(o[a])}
            title=${`weight ${w(e.weight[a])}, ${D(Math.abs(l))} of what enters`}
          >
            <span class=${`number ${l<0?"down":"up"}`}>${w(e.weight[a])}</span>
            <${jo} ...${{graph:e,i:o[a]}} />
          </button>
          ${kt(e,a)&&u`<button
              class="small"
              aria-expanded=${s===a}
              title="Through which heads this edge goes"
              onClick=${()=>i(s===a?-1:a)}
            >
              heads
            </button>`}
          ${s===a&&u`<${Io} ...${{graph:e,e:a}} />`}
        </li>`})}
    </ul>`}function cr({behaviour:t,layer:e,feature:n}){let o=`feature/${t}/${e}/${n}`,r=R(j(o)&&o),s=R(`behaviour/${t}`);return!r.value||!s.value?r.error?u`<p class="note">${r.error}</p>`:null:u`<${fe} feature=${r.value} behaviour=${s.value} />`}var Mt=150,zt=38;function Bo({graph:t,chosen:e,shown:n,select:o}){let[r,s]=C([]),[i,a]=C({}),[l,f]=C("");if(!e.pins.length)return null;let c=ur(t,e),p=(r.length?r:e.pins).filter(m=>t.kind[m]===H&&!t.aggregated),h=m=>s(m.members.every(v=>r.includes(v))?r.filter(v=>!m.members.includes(v)):[...new Set([...r,...m.members])]),d=m=>{m.preventDefault(),!(!l.trim()||!r.length)&&(ko(t,r,l.trim()),s([]),f(""))};return u`<section class="subgraph" aria-label="Pinned nodes">
    <h2>Pinned <span class="faint">${e.pins.length}</span></h2>
    <div class="row">
      <form class="row" onSubmit=${d}>
        <input
          type="text"
          aria-label="Name of the group"
          placeholder="name of a group"
          value=${l}
          onInput=${m=>f(m.currentTarget.value)}
        />
        <button disabled=${!r.length||!l.trim()}>Group ${r.length||""}</button>
      </form>
      <button onClick=${Mo}>Unpin all</button>
      ${p.length>0&&u`<${xt}
          button="Copy as Python"
          title="An intervention that sets these features to 0"
          label="Python"
          made=${()=>Eo(t,p)}
        />`}
    </div>
    <ul class="pins">
      ${c.map(m=>u`<li key=${m.key}>
            <label
              ><input
                type="checkbox"
                checked=${m.members.every(v=>r.includes(v))}
                onChange=${()=>h(m)}
              />
              <bdi>${y(m.name,60)}</bdi></label
            >
            ${m.group?u`<button class="small" onClick=${()=>xo(t,m.group)}>ungroup</button>`:u`<button class="small" onClick=${()=>pe(t,m.members[0])}>unpin</button>`}
          </li>`)}
    </ul>
    <${dr} ...${{graph:t,boxes:c,shown:n,select:o,moved:i,setMoved:a}} />
  </section>`}function ur(t,{pins:e,groups:n}){let o=new Set(n.flatMap(({members:r})=>r));return[...n.map(({name:r,members:s})=>({key:`group ${r}`,group:r,name:`${r} (${s.length})`,members:s})),...e.filter(r=>!o.has(r)).map(r=>({key:`node ${r}`,name:`${t.words(r)} at ${x(t.tokens[t.position[r]])}`,members:[r]}))]}function fr(t,e,n){let o=new Map(e.flatMap(({members:s},i)=>s.map(a=>[a,i]))),r=new Map;for(let{members:s}of e)for(let i of s)for(let a of t.inputs.of(i)){let l=o.get(t.source[a]),f=o.get(i);if(!n[a]||l===void 0||l===f)continue;let c=l*e.length+f;r.set(c,(r.get(c)??0)+t.weight[a])}return Array.from(r,([s,i])=>({from:Math.floor(s/e.length),to:s%e.length,weight:i}))}function dr({graph:t,boxes:e,shown:n,select:o,moved:r,setMoved:s}){let i=hr(t,e).map((d,m)=>r[e[m].key]??d),a=Math.max(...i.map(([d])=>d))+Mt+8,l=Math.max(...i.map(([,d])=>d))+zt+8,f=fr(t,e,n.edges),c=Math.max(...f.map(({weight:d})=>Math.abs(d)),1e-9),p=(d,[m,v])=>b=>{let $=b.currentTarget,_=[b.clientX,b.clientY];$.setPointerCapture(b.pointerId),$.onpointermove=({clientX:k,clientY:g})=>s(M=>({...M,[d]:[Math.max(0,m+k-_[0]),Math.max(0,v+g-_[1])]})),$.onpointerup=()=>$.onpointermove=$.onpointerup=null},h=f.map(({from:d,to:m,weight:v})=>`${e[d].name} to ${e[m].name}: ${w(v)}`);return u`<div class="scroll" tabindex="0" role="group" aria-label="Boxes of pinned nodes">
    <svg
      class="boxes"
      width=${a}
      height=${l}
      role="img"
      aria-label=${y(`Edges between pinned nodes. ${h.join("; ")}`,2e3)}
    >
      ${f.map(({from:d,to:m,weight:v})=>{let[b,$]=i[d],[_,k]=i[m],g=Math.abs(v)/c;return u`<g class=${v<0?"down":"up"}
          ><line
            x1=${b+Mt/2}
            y1=${$}
            x2=${_+Mt/2}
            y2=${k+zt}
            stroke-width=${.8+3.5*g}
            opacity=${.35+.6*g}
          />
          <text x=${(b+_+Mt)/2+5} y=${($+k+zt)/2}>${w(v,2)}</text></g
        >`})}
      ${e.map((d,m)=>u`<g
            key=${d.key}
            class="box"
            transform=${`translate(${i[m][0]},${i[m][1]})`}
            onPointerDown=${p(d.key,i[m])}
            onDblClick=${()=>o(d.members[0])}
          >
            <rect width=${Mt} height=${zt} rx="5" class=${d.group?"group":""} />
            <text x="8" y="16">${y(d.group??t.name(d.members[0]),22)}</text>
            <text x="8" y="31" class="faint"
              >${d.group?`${d.members.length} nodes`:y(pr(t,d.members[0]),22)}</text
            >
          </g>`)}
    </svg>
  </div>`}var pr=(t,e)=>t.label(e)||x(t.tokens[t.position[e]]);function hr(t,e){let n=({members:i},a)=>i.reduce((l,f)=>l+a[f],0)/i.length,o=e.map(i=>Math.round(n(i,t.layer))),r=[...new Set(o)].sort((i,a)=>a-i),s=[];return r.forEach((i,a)=>{let l=e.map((f,c)=>c).filter(f=>o[f]===i);l.sort((f,c)=>n(e[f],t.position)-n(e[c],t.position)),l.forEach((f,c)=>s[f]=[8+c*(Mt+22),8+a*(zt+34)])}),s}var mr=2e4;function Wo({graph:t,picture:e,shown:n,chosen:o}){let[r,s]=C(""),i=f=>`${t.title.replace(/[^\w.-]+/g,"-").slice(0,80)}.${f}`;return u`<p class="row">
    <button onClick=${()=>{let{text:f,left:c}=$r(t,n,o,e.current);s(c?`The ${c} weakest edges are left out.`:""),Ho(new Blob([f],{type:"image/svg+xml"}),i("svg"))}}>Save as SVG</button><button onClick=${async()=>{let{edgesRef:f,nodesRef:c,overRef:p,ink:h}=e.current,{width:d,height:m}=c.current,v=Object.assign(document.createElement("canvas"),{width:d,height:m}),b=v.getContext("2d");b.fillStyle=h.paper,b.fillRect(0,0,d,m);for(let $ of[f,c,p])b.drawImage($.current,0,0);v.toBlob($=>Ho($,i("png")))}}>Save as PNG</button>
    <span class="note" role="status">${r}</span>
  </p>`}function Ho(t,e){let n=Object.assign(document.createElement("a"),{href:URL.createObjectURL(t),download:e});n.click(),setTimeout(()=>URL.revokeObjectURL(n.href),1e4)}var Qe=t=>x(t).replace(/[&<>"']/g,e=>`&#${e.charCodeAt(0)};`);function $r(t,e,n,{placed:o,view:r,ink:s,width:i,height:a}){let l=g=>[o.x[g]*r.k+r.x,o.y[g]*r.k+r.y].map(M=>M.toFixed(1)),f=Array.from(e.edges.keys()).filter(g=>e.edges[g]),c=g=>Math.abs(t.weight[g])/(t.total[t.target[g]]||1);f.sort((g,M)=>c(g)-c(M));let p=Math.max(0,f.length-mr);f=f.slice(p);let h=f.map(g=>{let[M,S]=l(t.source[g]),[T,L]=l(t.target[g]),it=Math.min(1,c(g)),Y=t.weight[g]<0?s.down:s.up,X=(.4+3*it).toFixed(2),Z=(.15+.8*it).toFixed(2);return`<line ${`x1="${M}" y1="${S}" x2="${T}" y2="${L}"`} stroke="${Y}" stroke-width="${X}" opacity="${Z}"/>`}),d=o.shown.map(g=>{let[M,S]=l(g),T=so[t.kind[g]],L=g===n.selected?` stroke="${s.chosen}" stroke-width="2.5"`:` stroke="${s.paper}"`,it=`fill="${s.paper}" stroke="${s.error}"`,Y=T==="error"?it:`fill="${s[T]}"${L}`,X=`<title>${Qe(t.words(g))}</title>`;return`<g transform="translate(${M} ${S})" ${Y}>${X}${_r[T]}</g>`}),m=n.pins.filter(g=>e.nodes[g]).map(g=>{let[M,S]=l(g),T=`fill="none" stroke="${s.ink}" stroke-width="2" stroke-dasharray="3 2"`;return`<circle cx="${M}" cy="${S}" r="${ut+3}" ${T}/>`}),v=qe(t,o,r).map(({text:g,x:M,y:S,anchor:T,template:L})=>`<text ${`x="${M.toFixed(1)}" y="${(S+4).toFixed(1)}" text-anchor="${T}"`}${L?` fill="${s.faint}"`:""}>${Qe(g)}</text>`),b=Bt(t,o,r,G.left).map(({from:g,till:M,y:S})=>`<path d="M${g} ${S-4}V${S}H${M}V${S-4}" fill="none" stroke="${s.ink}"/>`),$=`font-family="sans-serif" font-size="12" fill="${s.ink}"`;return{text:`<svg xmlns="http://www.w3.org/2000/svg" ${`width="${i}" height="${a}" viewBox="0 0 ${i} ${a}"`} ${$}>
<title>${Qe(t.text)}</title><rect width="100%" height="100%" fill="${s.paper}"/>
${h.join(`
`)}
${[...d,...m,...v,...b].join(`
`)}
</svg>
`,left:p}}var K=ut,_r={feature:`<circle r="${K}"/>`,embedding:`<rect x="${-K}" y="${-K}" width="${2*K}" height="${2*K}"/>`,error:`<path d="M0 ${-1.3*K}L${1.25*K} 0L0 ${1.25*K}L${-1.25*K} 0Z"/>`,logit:`<path d="M0 ${-1.3*K}L${1.2*K} ${.9*K}L${-1.2*K} ${.9*K}Z"/>`};function he({behaviour:t,prompt:e,text:n}){let o=n?`text/${n}`:e?`graph/${t}/${e}`:`circuit/${t}`,r=R(o);return r.value?u`<${vr} key=${o} record=${r.value} behaviour=${t} prompt=${e} />`:u`<${B} ...${r} />`}function vr({record:t,behaviour:e,prompt:n}){let o=q(()=>new jt(t),[t]),r=vt(o),s=qo(o,r),i=q(()=>Ao(o,s.nodes,r.query),[o,s.nodes,r.query]),a=r.beside&&`graph/${e}/${r.beside}`,l=R(a),f=q(()=>l.value&&new jt(l.value),[l.value]),c=Le(null),p=Pt(null),h=$=>Ke(o,$),d=$=>pe(o,$),m=($,_)=>c.value=$>=0?{i:$,at:_}:null,v=qo(f,r),b=q(()=>f&&br(o,s,f,v),[o,s,f,v]);return u`<main class="graph-page">
    <${Co} ...${{graph:o,chosen:r,shown:s,matches:i,behaviour:e,prompt:n,select:h,shared:b}} />
    <section class="pictures" aria-label="Graph">
      <${yr} ...${{graph:o,shown:s}} />
      <div class=${`${f?"two":"one"} ${r.pins.length?"pinned":""}`}>
        <div class="holder">
          <${Wt}
            onReady=${$=>p.current=$}
            ...${{graph:o,nodes:s.nodes,edges:s.edges,matches:i,pins:r.pins}}
            selected=${r.selected}
            current=${()=>vt(o).selected}
            shared=${b?.[0]}
            onSelect=${h}
            onPin=${d}
            onHover=${m}
            label=${`Attribution graph of ${y(o.text)}`}
            description="picture-keys"
          />
          <${wr} ...${{graph:o,tip:c}} />
        </div>
        ${a&&!f&&u`<${B} ...${l} />`}
        ${f&&u`<${kr} ...${{graph:o,other:f,otherShown:v,chosen:r,shared:b[1],behaviour:e}} />`}
      </div>
      <p id="picture-keys" class="keys">
        Click a node for its inputs and outputs; shift-click pins it. Drag moves, the wheel zooms. Keys:
        arrows,
        <kbd>i</kbd> strongest input, <kbd>o</kbd> strongest output, <kbd>p</kbd> pin, <kbd>+</kbd>
        <kbd>-</kbd>, <kbd>Esc</kbd>.
      </p>
      <${Bo} ...${{graph:o,chosen:r,shown:s,select:h}} />
      <${Wo} ...${{graph:o,picture:p,shown:s,chosen:r}} />
      <${xr} ...${{graph:o,shown:s,select:h}} />
    </section>
    <${Do} ...${{graph:o,chosen:r,shown:s,behaviour:e,select:h,pin:d}} />
    <p class="announce" role="status">${r.selected>=0?gr(o,r.selected):""}</p>
  </main>`}function qo(t,{share:e,edgeShare:n,sign:o,least:r,layers:s}){let i=q(()=>{if(!t)return null;let a=ro(t,e,n),l=f=>f.reduce((c,p)=>c+p,0);return{...a,scores:ao(t,a),counts:{nodes:l(a.nodes),edges:l(a.edges)}}},[t,e,n]);return q(()=>i?{...i,edges:So(t,i.edges,{sign:o,least:r,layers:s}),pruned:i.edges}:null,[i,o,r,...s])}function br(t,e,n,o){let r=new Map;for(let i=0;i<n.size;i++)o.nodes[i]&&r.set(n.identity(i),i);let s=[[],[]];for(let i=0;i<t.size;i++){let a=e.nodes[i]?r.get(t.identity(i)):void 0;a!==void 0&&(s[0].push(i),s[1].push(a))}return s}function yr({graph:t,shown:e}){let{scores:n,counts:o}=e;return u`<div class="heading">
    <h1>
      <bdi>${y(t.text,160)}</bdi
      >${t.answers&&u` <span class="answer"
          >→ ${x(t.answers[0])} <span class="faint">not</span> ${x(t.answers[1])}</span
        >`}
    </h1>
    <dl class="facts">
      <div
        title="Influence that runs from tokens through shown features alone; what is hidden counts as error"
      >
        <dt>replacement</dt>
        <dd>
          <span data-score="replacement">${w(n.replacement)}</span
          ><${zo} value=${t.scores.replacement_score} />
        </dd>
      </div>
      <div
        title="How much of what enters shown nodes comes from shown ones; what is hidden counts as error"
      >
        <dt>completeness</dt>
        <dd>
          <span data-score="completeness">${w(n.completeness)}</span
          ><${zo} value=${t.scores.completeness_score} />
        </dd>
      </div>
      <div>
        <dt>shown</dt>
        <dd>${O(o.nodes,"node")}, ${O(o.edges,"edge")}</dd>
      </div>
    </dl>
  </div>`}var zo=({value:t})=>t!==void 0&&u` <span class="faint">whole graph ${w(t)}</span>`,gr=(t,e)=>{let n=t.label(e),r=t.kind[e]===0?`, activation ${w(t.activation[e])}`:"";return`${`${t.name(e)}${n?`, ${y(n)}`:""}`}, at ${t.place(e)}${r}, influence ${w(t.influence[e])}`};function wr({graph:t,tip:e}){if(!e.value)return null;let{i:n,at:[o,r,s]}=e.value,i=o>s/2?{right:`${s-o+14}px`}:{left:`${o+14}px`};return u`<div class="tip" style=${{top:`${Math.max(0,r-12)}px`,...i}}>
    <b>${t.name(n)}</b> at ${t.place(n)}
    ${t.label(n)&&u`<br /><bdi>${y(t.label(n),120)}</bdi>`} <br />influence
    ${w(t.influence[n])}${t.kind[n]===0&&u`, activation ${w(t.activation[n])}`}
  </div>`}function kr({graph:t,other:e,otherShown:n,chosen:o,shared:r,behaviour:s}){let i=c=>c>=0?r.find(p=>e.identity(p)===t.identity(c))??-1:-1,a=i(o.selected),l=()=>i(vt(t).selected),f=c=>{let p=c>=0?Array.from({length:t.size},(h,d)=>d).find(h=>t.identity(h)===e.identity(c)):-1;Ke(t,p??-1)};return u`<div class="holder">
    <p class="beside">
      <bdi>${y(e.text,120)}</bdi> <span class="faint">${r.length} shared, ringed</span>
      <button onClick=${()=>P({vs:""},{step:!0})}>Close</button>
    </p>
    <${Wt}
      ...${{graph:e,nodes:n.nodes,edges:n.edges}}
      ...${{selected:a,current:l,shared:r,onSelect:f}}
      label=${`Attribution graph of ${y(e.text)}`}
      description="picture-keys"
    />
  </div>`}function xr({graph:t,shown:e,select:n}){let[o,r]=C(!1),s=o?Array.from(t.kind.keys()).filter(i=>e.nodes[i]).sort((i,a)=>t.influence[a]-t.influence[i]).slice(0,200):[];return u`<details class="table" onToggle=${i=>r(i.currentTarget.open)}>
    <summary>Nodes as a table</summary>
    <table>
      <thead>
        <tr>
          <th>node</th>
          <th>token</th>
          <th>label</th>
          <th>influence</th>
        </tr>
      </thead>
      <tbody>
        ${s.map(i=>u`<tr key=${i}>
              <td><button class="link" onClick=${()=>n(i)}>${t.name(i)}</button></td>
              <td>${t.place(i)}</td>
              <td><bdi>${y(t.label(i),120)}</bdi></td>
              <td class="number">${D(t.influence[i])}</td>
            </tr>`)}
      </tbody>
    </table>
  </details>`}function Go({behaviour:t,phase:e}){let{value:n,error:o}=R(`provenance/${t}/${e}`);return n?u`<main class="page provenance">
    <h1>${y(n.name)}</h1>
    <p><a href=${F(["behaviour",t])}>${y(t)}</a></p>
    ${Object.entries(n.chain).map(([r,s],i)=>u`<section key=${r} id=${r}>
          <h2>${y(r)}</h2>
          <dl class="tree">
            <div>
              <dt>artifact (its inputs)</dt>
              <dd><code>${s.artifact}</code></dd>
            </div>
            <div>
              <dt>content</dt>
              <dd><code>${s.content}</code></dd>
            </div>
          </dl>
          ${Object.entries(s.components).map(([a,l])=>u`<details open=${i===0&&a==="upstream"}>
                <summary>${a} <span class="faint">${Mr(l)}</span></summary>
                <${Ko} value=${l} />
              </details>`)}
        </section>`)}
  </main>`:u`<${B} error=${o} />`}var Mr=t=>t&&typeof t=="object"?O(Object.keys(t).length,"entry").replace("entrys","entries"):le(String(t));function Ko({value:t}){return t===null||typeof t!="object"?u`<code>${y(t,300)}</code>`:u`<dl class="tree">
    ${Object.entries(t).map(([e,n])=>u`<div>
          <dt>${y(e,120)}</dt>
          <dd><${Ko} value=${n} /></dd>
        </div>`)}
  </dl>`}var tn="unlabelled",me=class{constructor(e){this.key=`circuitstore.drafts.${location.host}.${e}`;try{this.all=JSON.parse(Fe(this.key)??"{}")}catch{this.all={}}}of=({layer:e,feature:n})=>this.all[`${e}/${n}`];keep({layer:e,feature:n},o,r){this.all[`${e}/${n}`]={label:o,note:r},ce(this.key,JSON.stringify(this.all))}drop({layer:e,feature:n}){delete this.all[`${e}/${n}`],ce(this.key,Object.keys(this.all).length?JSON.stringify(this.all):"")}};async function Vo(t,{layer:e,feature:n},o,r,s){let i={label:s.reviewer_label,author:s.reviewer,note:s.reviewer_note};try{let a=await Ue("api/review",{method:"POST",headers:{"Content-Type":"application/json"},body:JSON.stringify({behaviour:t,layer:e,feature:n,label:o,note:r,before:i})}),l=await a.json();Dt(`features/${t}`),Dt(`feature/${t}/${e}/${n}`);let f={reviewer_label:l.label,reviewer:l.author,reviewer_note:l.note};return a.status===409?{theirs:!0,now:f}:{saved:!0,now:f}}catch(a){return{error:a.message}}}var Jo=60;function Yo({behaviour:t}){let[e,n]=C(0),o=R(`features/${t}`,e),r=R("access");if(!o.value)return u`<${B} ...${o} />`;let s=()=>(Dt(`features/${t}`),n(e+1));return u`<${Sr}
    table=${o.value}
    ...${{behaviour:t,again:s}}
    author=${r.value?.author??""}
  />`}function Sr({table:t,behaviour:e,again:n,author:o}){let{params:r}=z.value,s=q(()=>new me(e),[e]),[i,a]=C(""),[l,f]=C(null),[c,p]=C({}),h=q(()=>Ar(t,r),[t,r.q,r.open]),d=Math.max(0,Math.min(h.length-1,h.findIndex(_=>`${t.layer[_]}/${t.feature[_]}`===r.at))),m=h[d],v=m===void 0?null:{...Xo(t,m),...c[`${t.layer[m]}/${t.feature[m]}`]},b=_=>{let k=h[Math.max(0,Math.min(h.length-1,d+_))];k!==void 0&&P({at:`${t.layer[k]}/${t.feature[k]}`}),f(null)},$=async(_,k=v.reviewer_note,g=v)=>{s.keep(v,_,k),a("saving \u2026");let M=await Vo(e,v,_,k,g);(M.saved||M.theirs)&&p(S=>({...S,[`${v.layer}/${v.feature}`]:M.now})),a(M.saved?`L${v.layer} #${v.feature} saved: ${y(_,80)}`:M.theirs?"":`not saved, kept in this browser: ${M.error}`),f(M.theirs?{label:_,remark:k,theirs:M.now}:null),M.saved&&(s.drop(v),b(1))};return u`<main class="page review">
    <h1>Features of <bdi>${y(e,80)}</bdi></h1>
    <p class="note">
      ${o?u`Decisions are saved as <b><bdi>${y(o,80)}</bdi></b
              >.`:"Read only: `circuitstore view --review --author NAME` lets you label."}
      ${" "}<kbd>j</kbd> next,
      <kbd>k</kbd> back${o&&u`, <kbd>a</kbd> accept, <kbd>e</kbd> edit, <kbd>r</kbd> reject`}
    </p>
    <div class="row">
      <input
        type="search"
        aria-label="Find features"
        placeholder="label, L3, #883"
        value=${r.q??""}
        onInput=${_=>P({q:_.currentTarget.value,at:""})}
      />
      <label
        ><input
          type="checkbox"
          checked=${r.open==="1"}
          onChange=${_=>P({open:_.currentTarget.checked?"1":"",at:""})}
        />
        without a reviewer's label</label
      >
      <span class="faint">${O(h.length,"feature")}, by activation</span>
    </div>
    <div class="reviewing">
      <${Tr} ...${{table:t,list:h,at:d,local:c,behaviour:e}} />
      ${v?u`<${Cr}
            key=${`${v.layer}/${v.feature}`}
            ...${{row:v,behaviour:e,author:o,save:$,go:b,note:i,conflict:l,setConflict:f,drafts:s,again:n}}
          />`:u`<p class="note">Nothing is found.</p>`}
    </div>
  </main>`}var Xo=(t,e)=>Object.fromEntries(["layer","feature","label","reviewer_label","reviewer","reviewer_note"].map(n=>[n,t[n][e]]));function Ar(t,{q:e="",open:n}){let o=e.toLowerCase().split(/\s+/).filter(Boolean),r=[];for(let i=0;i<t.layer.length;i++){let a=`l${t.layer[i]} #${t.feature[i]} ${t.reviewer_label[i]} ${t.label[i]}`.toLowerCase();(n!=="1"||!t.reviewer_label[i])&&o.every(l=>a.includes(l))&&r.push(i)}let s=i=>t.mean_activation[i]*t.active_prompts[i];return r.sort((i,a)=>s(a)-s(i))}function Tr({table:t,list:e,at:n,local:o,behaviour:r}){let s=Math.max(0,Math.min(n-10,e.length-Jo));return u`<ol class="list" start=${s+1} aria-label="Features">
    ${e.slice(s,s+Jo).map((i,a)=>{let l=`${t.layer[i]}/${t.feature[i]}`,f={...Xo(t,i),...o[l]};return u`<li key=${l} class=${s+a===n?"current":""}>
        <a
          aria-current=${s+a===n?"true":void 0}
          href=${F(["features",r],{...z.value.params,at:l})}
        >
          L${f.layer} #${f.feature}
          <bdi class=${f.reviewer_label?"":"faint"}>${y(f.reviewer_label||f.label,60)}</bdi
          >${f.reviewer_label&&" \u2713"}</a
        >
      </li>`})}
  </ol>`}function Cr({row:t,behaviour:e,author:n,save:o,go:r,note:s,conflict:i,setConflict:a,drafts:l,again:f}){let c=l.of(t),[p,h]=C(c?.label??t.reviewer_label??""),[d,m]=C(c?.note??t.reviewer_note??""),v=Pt(null),b=`feature/${e}/${t.layer}/${t.feature}`,$=R(j(b)&&b),_=R(`behaviour/${e}`),k=()=>(v.current?.focus(),v.current?.select());ht(()=>{let S=T=>{if(/^(INPUT|TEXTAREA|SELECT)$/.test(T.target.tagName)||T.ctrlKey||T.metaKey||T.altKey)return;let L={j:()=>r(1),k:()=>r(-1),ArrowDown:()=>r(1),ArrowUp:()=>r(-1),...n&&{a:()=>t.label&&o(t.label),e:k,r:()=>o(tn)}}[T.key];L&&(T.preventDefault(),L())};return addEventListener("keydown",S),()=>removeEventListener("keydown",S)});let g=(S,T)=>(h(S),m(T),l.keep(t,S,T)),M=S=>(S.preventDefault(),p.trim()&&o(p.trim(),d.trim()));return u`<section class="deciding" aria-label="Feature">
    <h2>
      L${t.layer} #${t.feature}${" "}
      ${j(b)&&u`<a href=${F(["feature",e,t.layer,t.feature])}>page</a>`}
    </h2>
    <p>automatic: <bdi>${y(t.label,300)}</bdi></p>
    ${t.reviewer_label&&u`<p>
        now: <b><bdi>${y(t.reviewer_label,500)}</bdi></b>
        <span class="faint">by <bdi>${y(t.reviewer,80)}</bdi></span>
      </p>`}
    ${n&&u`<form onSubmit=${M} class="decide">
        <label
          >Label
          <input
            ref=${v}
            type="text"
            maxlength="10000"
            value=${p}
            onInput=${S=>g(S.currentTarget.value,d)}
            onKeyDown=${S=>S.key==="Escape"&&S.currentTarget.blur()}
        /></label>
        <label
          >Note
          <input
            type="text"
            maxlength="10000"
            value=${d}
            onInput=${S=>g(p,S.currentTarget.value)}
            onKeyDown=${S=>S.key==="Escape"&&S.currentTarget.blur()}
        /></label>
        <p class="row">
          <button type="submit" disabled=${!p.trim()}>Save</button
          ><button type="button" disabled=${!t.label} onClick=${()=>o(t.label)}>Accept</button>
          <button type="button" onClick=${()=>o(tn)}>Reject</button
          ><button type="button" class="small" onClick=${f}>Read labels again</button>
        </p>
      </form>`}
    <p role="status" class="note saved">
      ${s||(c&&!i?"A draft that is not saved yet.":"")}
    </p>
    ${i&&u`<div class="problem" role="alert">
        <p>
          <bdi>${y(i.theirs.reviewer,80)}</bdi> has meanwhile said
          “<bdi>${y(i.theirs.reviewer_label,300)}</bdi>”. You said
          “<bdi>${y(i.label,300)}</bdi>”.
        </p>
        <p class="row">
          <button onClick=${()=>(l.drop(t),a(null),r(1))}>Keep theirs</button
          ><button onClick=${()=>o(i.label,i.remark,i.theirs)}>Save mine</button>
        </p>
      </div>`}
    ${$.value&&_.value?u`<${fe} feature=${{...$.value,...t}} behaviour=${_.value} />`:$.error&&u`<p class="note">${$.error}</p>`}
    ${!j(b)&&u`<p class="note">
        This file holds no more of this feature. Pages of graphs in which it is do.
      </p>`}
  </section>`}var Zo=t=>new Date(1e3*t).toISOString().slice(0,16).replace("T"," ");function Qo(){let{value:t,error:e}=R("store");if(!t)return u`<${B} error=${e} />`;let{behaviours:n,phases:o,rows:r,profile:s}=t,i=a=>r.filter(l=>l.behaviour===a);return u`<main class="page">
    <h1>Store <span class="faint">profile ${s}</span></h1>
    <p class="note">
      ${O(r.length,"result")} of ${O(n.length,"behaviour")}. Times are UTC.
    </p>
    <${$t}
      label="Results by phase and behaviour"
      head=${["behaviour",...o]}
      rows=${n.map(a=>u`<${Er} key=${a} ...${{behaviour:a,phases:o}} rows=${i(a)} />`)}
    />
    <${Rr} list=${t.texts} />
    <${Pr} behaviours=${n} />
  </main>`}function Rr({list:t}){return t.length?u`<section>
    <h2>Single texts</h2>
    <ul>
      ${t.map(({name:e,text:n,target:o,against:r,time:s})=>u`<li key=${e}>
          <a href=${F(["text",e])}><bdi>${y(n,120)}</bdi></a>
          ${o&&` \u2192 ${x(o)}`}
          ${r&&u` <span class="faint">not ${x(r)}</span>`}
          ${" "}<span class="faint">${Zo(s)}</span>
        </li>`)}
    </ul>
  </section>`:null}function Er({behaviour:t,phases:e,rows:n}){let o=R(Ft&&`status/${t}`),r=new Map((o.value?.phases??[]).map(s=>[s.phase,s]));return u`<tr>
    <th scope="row">
      <a href=${F(["behaviour",t])}><bdi>${y(t,60)}</bdi></a>
    </th>
    ${e.map(s=>{let i=n.find(f=>f.phase===s),a=r.get(s),l=a?.state??(i?"built":"missing");return u`<td class=${`state ${l}`} title=${(a?.why??[]).join(`
`)||void 0}>
        ${i?u`<a href=${F(["provenance",t,s])}>${l}</a>`:l}
        ${i&&u`<br /><span class="faint">${le(i.content)}<br />${Zo(i.time)}</span>`}
      </td>`})}
  </tr>`}function Pr({behaviours:t}){return Ft?u`<section>
    <h2>Why</h2>
    ${t.map(e=>u`<${Nr} key=${e} behaviour=${e} />`)}
  </section>`:null}function Nr({behaviour:t}){let{value:e,error:n}=R(`status/${t}`);if(!e)return u`<${B} error=${n} />`;let o=e.phases.filter(({state:r})=>r!=="fresh");return u`<h3><bdi>${y(t,60)}</bdi></h3>
    ${e.unknown?u`<p class="note">State not known: ${y(e.unknown,500)}</p>`:o.length?u`<ul>
              ${o.map(({phase:r,state:s,why:i,todo:a})=>u`<li>
                  ${y(r)}: ${s},
                  ${" "}${a?`${O(a,"cell")} to compute`:"cells not known yet"}
                  ${i.map(l=>u`<br /><span class="faint">${y(l,500)}</span>`)}
                </li>`)}
            </ul>`:u`<p class="note">Everything is fresh.</p>`}`}var Lr={graph:([t,e])=>u`<${he} ...${{behaviour:t,prompt:e}} />`,text:([t])=>u`<${he} text=${t} />`,circuit:([t])=>u`<${he} behaviour=${t} />`,feature:([t,e,n])=>u`<${to} ...${{behaviour:t,layer:e,feature:n}} />`,features:([t])=>u`<${Yo} behaviour=${t} />`,behaviour:([t])=>u`<${Vn} behaviour=${t} />`,provenance:([t,e])=>u`<${Go} ...${{behaviour:t,phase:e}} />`};function Ur(){let[t,...e]=z.value.parts,n=Lr[t]?.(e)??u`<${Qo} />`,o=t!=="text"&&e[0];return u`<header>
      <nav aria-label="Where this is">
        ${j("store")?u`<a href=${F([])}>circuitstore</a>`:u`<b>circuitstore</b>`}
        ${o&&u`<span aria-hidden="true">/</span
            >${j(`behaviour/${o}`)?u`<a href=${F(["behaviour",o])}><bdi>${y(o,40)}</bdi></a>`:u`<bdi>${y(o,40)}</bdi>`}
            <span aria-hidden="true">/</span><bdi>${y([t,...e.slice(1)].join(" "),60)}</bdi>`}
      </nav>
      <button class="small" aria-pressed=${st.value} onClick=${qn}>Dark</button>
    </header>
    ${n}`}Me(u`<${Ur} />`,document.getElementById("app"));})();
